"""A real SMTP server on loopback (aiosmtpd) that keeps what it is given."""
import asyncio
import email
import email.policy
import ssl
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from ports import free_port


class MailServer:
    """refuse: recipients answered with 550; fail: an answer to every recipient, such as "451 later"; of_sender, of_data:
    to every sender, to every message; hold: an event that each message waits for before it is answered."""

    def __init__(self, pair=None, login=None, port=None, tls_from_start=False):
        self.refuse, self.fail = set(), None
        self.of_sender = self.of_data = self.hold = None
        self.envelopes, self.logins = [], []
        self._arrived = threading.Condition()
        self.port = port or free_port()
        options = {}
        if pair:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            if tls_from_start:
                options["ssl_context"] = context
            else:
                options |= {"tls_context": context, "require_starttls": True}
        if login:
            options |= {"authenticator": self._authenticate, "auth_required": True,
                        "auth_require_tls": bool(pair) and not tls_from_start}
        self.login = login
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=60, **options)

    def _authenticate(self, _server, _session, _envelope, _mechanism, data):
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == self.login)

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if self.fail:
            return self.fail
        if address in self.refuse:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_MAIL(self, _server, _session, envelope, address, _options):
        if self.of_sender:
            return self.of_sender
        envelope.mail_from = address
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        if self.of_data:
            return self.of_data
        with self._arrived:
            self.envelopes.append(envelope)
            self._arrived.notify_all()
        while self.hold and not self.hold.is_set():
            await asyncio.sleep(0.01)
        return "250 taken"

    def start(self):
        self.controller.start()
        return self

    def stop(self):
        self.controller.stop()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def wait(self, count, seconds=60):
        """The first so many envelopes."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.envelopes) >= count, seconds), \
                f"{len(self.envelopes)} of {count} messages came"
            return self.envelopes[:count]

    def message(self, number=-1):
        return email.message_from_bytes(self.envelopes[number].content, policy=email.policy.default)
