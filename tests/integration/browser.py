"""A browser's part in tests: follows redirects, keeps cookies by host, posts forms. No scripts."""
import html as markup
import re
import socket
from urllib.parse import urljoin, urlsplit

import lxml.html
import requests
import urllib3.util.connection

STEPS_MAX = 20
REFRESH = re.compile(r'<meta http-equiv="refresh" content="0;url=([^"]*)">')

_getaddrinfo = socket.getaddrinfo


def _resolve(host, *arguments, **options):
    # As browsers do (RFC 6761): every name below localhost is this machine.
    if isinstance(host, str) and (host == "localhost" or host.endswith(".localhost")):
        host = "127.0.0.1"
    return _getaddrinfo(host, *arguments, **options)


socket.getaddrinfo = _resolve
urllib3.util.connection.HAS_IPV6 = False


class Form:
    def __init__(self, page):
        document = lxml.html.fromstring(page.content)
        if not document.forms:
            raise AssertionError(f"no form in {page.url}: {page.status_code} {page.text[:1500]}")
        form = document.forms[0]
        self.url = urljoin(page.url, form.action or page.url)
        self.method = (form.method or "GET").upper()
        self.fields = {field.get("name"): field.value or "" for field in form.inputs
                       if field.get("name") and field.get("type") != "submit"}


class Browser:
    def __init__(self, authority=None):
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(authority) if authority else True
        self.trail = []

    def request(self, method, url, **options):
        """One exchange, no redirect followed."""
        page = self.session.request(method, url, allow_redirects=False, timeout=60, **options)
        self.trail.append((method, url.split("?")[0], page.status_code))
        return page

    def get(self, url, **options):
        return self.follow(self.request("GET", url, **options))

    def post(self, url, data, **options):
        return self.follow(self.request("POST", url, data=data, **options))

    def follow(self, page):
        for _ in range(STEPS_MAX):
            refresh = REFRESH.search(page.text) if page.status_code == 200 else None
            if refresh:
                target = markup.unescape(refresh[1])
            elif page.status_code in (301, 302, 303, 307) and "Location" in page.headers:
                target = page.headers["Location"]
            else:
                return page
            page = self.request("GET", urljoin(page.url, target))
        raise AssertionError(f"redirected in circles: {self.trail[-STEPS_MAX:]}")

    def submit(self, page, stop_at=None, **values):
        """Post the page's first form. stop_at: the form is returned instead when its address begins so."""
        form = Form(page)
        form.fields.update(values)
        if stop_at and form.url.startswith(stop_at):
            return form
        return self.follow(self.request(form.method, form.url, data=form.fields))

    def sign_in(self, url, name, stop_at=None):
        """From a protected address through the IdP's login page and back. stop_at: as in submit."""
        page = self.get(url)
        if "SAMLRequest" in page.text:
            page = self.submit(page)
        page = self.submit(page, username=name, password=name[::-1])
        return self.submit(page, stop_at=stop_at)

    def cookies(self, url):
        """Names and values of what would be sent there."""
        host = urlsplit(url).hostname
        return {cookie.name: cookie.value for cookie in self.session.cookies
                if cookie.domain.lstrip(".") in (host, host + ".local")}
