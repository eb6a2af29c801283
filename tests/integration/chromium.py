"""A real browser: headless Chromium in a profile of its own.

    with Chromium() as browser:
        browser.open(url)
        browser.wait_for_text("signed in")

Every wait is for a condition and ends after WAIT_SECONDS. Started and ended by ChromeDriver; nothing outside the
temporary folder is written.
"""
import os
import shutil
import tempfile

WAIT_SECONDS = 120

try:
    from selenium import webdriver
    from selenium.common.exceptions import TimeoutException, WebDriverException
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    webdriver = None

OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
           "--disable-dev-shm-usage", "--disable-component-update", "--disable-sync", "--no-proxy-server",
           # Pages scroll at once: what is to be clicked stays where it is.
           "--force-prefers-reduced-motion"]


def missing():
    """Why there is no browser here; "" when there is one."""
    if webdriver is None:
        return "python3-selenium is not installed"
    for name in ("chromium", "chromedriver"):
        if not shutil.which(name):
            return f"{name} is not installed"
    try:
        with Chromium() as browser:
            browser.open("about:blank")
    except WebDriverException as problem:
        return f"Chromium does not run here: {str(problem)[:300]}"
    return ""


class Chromium:
    """scripts: whether pages may run theirs; what tests ask of the browser runs all the same."""

    def __init__(self, scripts=True):
        self.scripts = scripts
        self._own = tempfile.TemporaryDirectory(prefix="rolebridge-chromium-", ignore_cleanup_errors=True)
        self.driver = None

    def __enter__(self):
        folder = self._own.name
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium")
        for option in OPTIONS:
            options.add_argument(option)
        options.add_argument(f"--user-data-dir={folder}/profile")
        # Our own CA; what it signed is looked at by other tests.
        options.add_argument("--ignore-certificate-errors")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        environment = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "XDG_RUNTIME_DIR": folder}
        service = Service(shutil.which("chromedriver"), env=environment)
        try:
            self.driver = webdriver.Chrome(service=service, options=options)
            self.driver.set_page_load_timeout(WAIT_SECONDS)
            if not self.scripts:
                self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        except BaseException:
            self._own.cleanup()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.driver.quit()
        finally:
            self._own.cleanup()

    # --- what a person does ---

    def open(self, url):
        self.driver.get(url)

    def wait(self, condition, what):
        try:
            return WebDriverWait(self.driver, WAIT_SECONDS, poll_frequency=0.05,
                                 ignored_exceptions=(WebDriverException,)).until(condition)
        except TimeoutException:
            raise AssertionError(f"waited for {what}; at {self.driver.current_url}: {self.text()[:1500]} "
                                 f"{self.log()}") from None

    def text(self):
        return self.driver.find_element(By.TAG_NAME, "body").text

    def wait_for_text(self, text):
        self.wait(lambda _: text in self.text(), repr(text))
        return self.text()

    def wait_for(self, selector):
        return self.wait(lambda driver: driver.find_element(By.CSS_SELECTOR, selector), selector)

    def click(self, selector):
        self.wait_for(selector).click()

    def fill(self, **fields):
        """The page's fields by name (a "_" for each "-"), then the return key in the last one."""
        for name, text in fields.items():
            field = self.wait_for(f"[name='{name.replace('_', '-')}']")
            field.clear()
            field.send_keys(text)
        field.send_keys(Keys.RETURN)

    def give_password(self, name):
        """On the IdP's page."""
        self.wait_for("input[name=username]").send_keys(name)
        self.wait_for("input[name=password]").send_keys(name[::-1] + Keys.RETURN)

    def press_on(self):
        """The button of a page of the IdP that would go on by a script, had the browser any."""
        self.wait_for_text("does not support JavaScript")
        next(button for button in self.driver.find_elements(By.CSS_SELECTOR, "[type=submit]")
             if button.is_displayed()).click()

    def cookies(self):
        """Of the present page's host, by name."""
        return {cookie["name"]: cookie for cookie in self.driver.get_cookies()}

    # --- what the browser says ---

    def violations(self):
        """What its own policy kept a page from doing, since the last call; [] is fine."""
        return [line for line in self.log() if any(
            word in line for word in ("Content Security Policy", "Refused to", "X-Frame-Options"))]

    def log(self):
        """Messages since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
