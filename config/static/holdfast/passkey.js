// Passkeys: asks the browser what the page holds as JSON, and sends its answer with the form.
"use strict";

(() => {
  const form = document.querySelector("form[data-passkey]");
  const said = form.querySelector("[data-passkey-said]");
  const button = form.querySelector("button[type=submit]");
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) return;
  button.disabled = false;
  said.textContent = "";

  form.addEventListener("submit", async (event) => {
    if (form.elements.passkey.value) return;
    event.preventDefault();
    button.disabled = true;
    said.textContent = "Follow your browser …";
    const options = JSON.parse(document.getElementById("passkey-options").textContent);
    try {
      const answer = form.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      form.elements.passkey.value = JSON.stringify(answer.toJSON());
      form.submit();
    } catch (error) {
      button.disabled = false;
      said.textContent = error.name === "InvalidStateError"
        ? "This device has a passkey for you already."
        : "That did not work, or was stopped. Try again.";
    }
  });
})();
