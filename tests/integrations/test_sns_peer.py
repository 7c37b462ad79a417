"""A real SNS (moto's) sends to our address: a topic, its HTTP subscription, an alarm that fires and resolves."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler

import pytest
import requests

from incidents.models import Alert
from integrations.inbox import receive, writer
from integrations.inbox.drain import drain
from integrations.models import InboxMessage
from tests import scenes
from tests.integrations.inbound import Answered, knock, monitor
from tests.integrations.local import Seen, reply, server
from tests.peers.servers import moto_server
from tests.processes import wait_until

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(400),
    pytest.mark.xdist_group("moto"),
]
REGION = "eu-central-1"


def alarm(state: str, at: str) -> str:
    """CloudWatch's message about the drift of one feature of the credit model."""
    return json.dumps({
        "AlarmName": "income-drift", "NewStateValue": state, "OldStateValue": "OK", "StateChangeTime": at,
        "NewStateReason": "Threshold Crossed: 1 datapoint [0.31] was greater than the threshold (0.2).", "Region": "EU (Frankfurt)",
        "AlarmArn": f"arn:aws:cloudwatch:{REGION}:123456789012:alarm:income-drift", "AWSAccountId": "123456789012",
        "Trigger": {
            "MetricName": "feature_baseline_drift_income", "Namespace": "aws/sagemaker/Endpoints/data-metrics",
            "Dimensions": [{"name": "Endpoint", "value": "credit-risk"}], "Threshold": 0.2,
            "ComparisonOperator": "GreaterThanThreshold",
        },
    })  # fmt: skip


def amazon(url: str, action: str, **parameters: str) -> str:
    """One call of SNS's query interface; moto finds the service by the scope of the signature, which it does not check."""
    scope = f"x/20300506/{REGION}/sns/aws4_request"
    signed = {"Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=x"}
    form = {"Action": action, "Version": "2010-03-31", **parameters}
    answer = requests.post(url, data=form, headers=signed, timeout=30)
    assert answer.ok, answer.text
    return answer.text


def test_a_topic_with_an_http_subscription_reaches_the_inbox_and_becomes_an_alert(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scenes.system("credit-risk")
    own = writer.Writer()
    monkeypatch.setattr(receive, "writer", own)
    aws = monitor("aws", signature="unchecked")
    strict = monitor("aws", name="strict")
    answers: list[Answered] = []
    seen: Seen = []

    def front_door(request: BaseHTTPRequestHandler) -> None:
        """What stands in front of Django, for requests from another process."""
        headers, body = seen[-1][2], seen[-1][3]
        answered = knock(request.path, body, request.command, headers.get("content-type", ""), headers)
        answers.append(answered)
        reply(answered.status, answered.body)(request)

    with moto_server() as url, server(front_door) as (ours, asked):
        seen = asked
        topic = (
            amazon(url, "CreateTopic", Name="model-monitor-alarms")
            .partition("<TopicArn>")[2]
            .partition("<")[0]
        )
        assert topic.startswith(f"arn:aws:sns:{REGION}:")
        for address in (aws.path, strict.path):
            amazon(url, "Subscribe", TopicArn=topic, Protocol="http", Endpoint=ours + address)
        for state, at in (("ALARM", "12:00"), ("OK", "12:30")):
            said = alarm(state, f"2030-05-06T{at}:00.000+0000")
            amazon(url, "Publish", TopicArn=topic, Subject=state, Message=said)
        wait_until(lambda: len(answers) == 4, 60, "SNS has sent its messages to both addresses", interval=0.1)
    assert own.stop()
    taken = [one for one in answers if one.status == 202]
    # moto signs with a key of its own and names a certificate of Amazon's that does not exist
    assert {one.status for one in answers if one not in taken} <= {401, 503}, answers
    assert len(taken) == 2
    assert InboxMessage.objects.count() == 2
    assert len({row.delivery_key for row in InboxMessage.objects.all()}) == 2, "each by SNS's own MessageId"
    assert drain() == 2
    [made] = Alert.objects.all()
    assert (made.source, made.status, made.metric) == ("aws", "resolved", "feature_baseline_drift_income")
    assert made.threshold == 0.2
