"""Playbooks as OASIS CACAO 2.0 documents, out and in; what CACAO lacks travels in the extension `x_holdfast`.

https://docs.oasis-open.org/cacao/security-playbooks/v2.0/security-playbooks-v2.0.html
"""

from .reading import CacaoError, Imported, bring_in
from .writing import Exported, export

__all__ = ["CacaoError", "Exported", "Imported", "bring_in", "export"]
