/*
 * Forms that a security key or passkey answers. Each stands in an element with data-webauthn ("create" or "get"), which is hidden until
 * this runs; what the browser is to be asked is JSON in the form's field "options", and the answer is put into
 * its other hidden fields. Then the form is posted as any other.
 */
"use strict";

(() => {
	const problems = {
		AbortError: "It was cancelled. You can try again.",
		InvalidStateError: "This security key is set up for you already.",
		NotAllowedError: "It was cancelled, or took too long. You can try again.",
		NotSupportedError: "This security key is of a kind that is not supported here.",
		SecurityError: "Your browser knows no security keys at this address.",
	};

	const decode = text => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), c => c.charCodeAt(0));

	const encode = buffer => {
		let text = "";

		for (const byte of new Uint8Array(buffer))
			text += String.fromCharCode(byte);
		return btoa(text).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
	};

	const known = list => list.map(one => ({ ...one, id: decode(one.id) }));

	const create = async (options, fields) => {
		options.challenge = decode(options.challenge);
		options.user.id = decode(options.user.id);
		options.excludeCredentials = known(options.excludeCredentials);
		const made = await navigator.credentials.create({ publicKey: options });
		fields.id.value = encode(made.rawId);
		fields.client_data.value = encode(made.response.clientDataJSON);
		fields.attestation.value = encode(made.response.attestationObject);
	};

	const get = async (options, fields) => {
		options.challenge = decode(options.challenge);
		options.allowCredentials = known(options.allowCredentials);
		const got = await navigator.credentials.get({ publicKey: options });
		fields.id.value = encode(got.rawId);
		fields.client_data.value = encode(got.response.clientDataJSON);
		fields.authenticator_data.value = encode(got.response.authenticatorData);
		fields.signature.value = encode(got.response.signature);
		fields.user_handle.value = got.response.userHandle ? encode(got.response.userHandle) : "";
	};

	const prepare = part => {
		const form = part.querySelector("form");
		const status = part.querySelector("[role=status]");
		const button = form.querySelector("button");
		const ask = part.dataset.webauthn === "create" ? create : get;

		form.addEventListener("submit", async event => {
			event.preventDefault();
			button.disabled = true;
			status.textContent = "Follow what your browser says, and touch your security key.";
			try {
				await ask(JSON.parse(form.elements.options.value), form.elements);
			} catch (error) {
				status.textContent = problems[error.name] || "This did not work. You can try again.";
				button.disabled = false;
				button.focus();
				return;
			}
			form.elements.options.disabled = true;
			form.submit();
		});
		/* Where the browser brings the page back as it was left. */
		window.addEventListener("pageshow", () => {
			button.disabled = false;
			form.elements.options.disabled = false;
		});
		part.hidden = false;
	};

	for (const part of document.querySelectorAll("[data-webauthn]")) {
		if (window.PublicKeyCredential && navigator.credentials)
			prepare(part);
		else
			part.nextElementSibling.hidden = false;
	}
})();
