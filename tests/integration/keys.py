"""People with security keys, at a daemon whose pages know them.

    with Keys() as world:
        anna = world.person("anna")
        anna.sign_in()
        anna.enrol()
        page = anna.sign_in()            # the page that asks for her key
        page = anna.prove(page)
"""
import json
from urllib.parse import urljoin

import lxml.html

import second_factor
from authenticator import Authenticator
from browser import Browser

MISSING = "" if second_factor.is_installed() else "needs nginx and oathtool"


class Keys(second_factor.SecondFactor):
    def person(self, name, profile="viewer"):
        return Person(self, super().person(name, profile))

    def refusals(self):
        return [str(row["detail"]) for row in self.rows("factor.refused")]


def key_form(page):
    """Address and fields of the form that a key answers, and what it is asked."""
    parts = lxml.html.fromstring(page.content).xpath("//*[@data-webauthn]")
    assert len(parts) == 1, page.text
    form = parts[0].xpath(".//form")[0]
    fields = {field.get("name"): field.value or "" for field in form.inputs if field.get("name")}
    return urljoin(page.url, form.action), fields, json.loads(fields.pop("options"))


class Person:
    def __init__(self, world, name):
        self.world, self.name = world, name
        self.browser = Browser()
        self.key = Authenticator(world.url)

    def sign_in(self):
        """In a browser that knows nothing: the page after the password."""
        self.browser.session.cookies.clear()
        return self.world.sign_in(self.name, browser=self.browser)[1]

    def enrol(self, key=None, name="blue", **said):
        """The page that comes of it."""
        page = self.browser.get(self.world.url + "/security/add/webauthn")
        url, fields, options = key_form(page)
        return self.browser.post(url, {**fields, "name": name, **(key or self.key).create(options, **said)})

    def prove(self, page, key=None, change=None, **said):
        """change: fields of the form, after they were filled in."""
        url, fields, options = key_form(page)
        answer = {**fields, **(key or self.key).get(options, **said), **(change or {})}
        return self.browser.post(url, answer)

    def is_signed_in(self):
        """Through all that is asked."""
        return self.browser.get(self.world.url + "/api/v1/me").status_code == 200
