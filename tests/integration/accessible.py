"""Is this page one that everybody can use? Looked at in the browser, from computed styles, in light and dark and on
a narrow screen (WCAG 2.1 AA, as far as a program can tell).

    problems = accessible.look(browser)       # of the page that is open
    assert not problems, problems
"""
CHECKS = r"""
const problems = [];
const say = (what, element) => problems.push(what + (element ? ': ' + element.outerHTML.slice(0, 200) : ''));
const all = selector => Array.from(document.querySelectorAll(selector));
const shown = element => {
	const style = getComputedStyle(element);
	return style.display !== 'none' && style.visibility !== 'hidden' && element.getClientRects().length > 0;
};

// --- structure
if (!/^[a-z]{2}/.test(document.documentElement.lang)) say('the page has no language');
if (!document.title.trim()) say('the page has no title');
if (document.compatMode !== 'CSS1Compat') say('quirks mode');
if (all('main').length !== 1) say('not one main part');
if (all('h1').length !== 1) say('not one h1');
if (!document.querySelector('meta[name=viewport]')) say('no viewport');
let level = 0;
for (const heading of all('h1,h2,h3,h4,h5,h6')) {
	const own = Number(heading.tagName[1]);
	if (own > level + 1) say('a heading skips a level', heading);
	if (!heading.textContent.trim()) say('an empty heading', heading);
	level = own;
}
const ids = all('[id]').map(element => element.id);
for (const id of ids) if (ids.filter(other => other === id).length > 1) say('an id stands twice: ' + id);
for (const element of all('*')) {
	if (element.hasAttribute('style')) say('a style of its own', element);
	for (const attribute of element.attributes)
		if (attribute.name.startsWith('on')) say('a script of its own', element);
	for (const name of ['aria-describedby', 'aria-labelledby', 'for'])
		for (const id of (element.getAttribute(name) || '').split(/\s+/).filter(Boolean))
			if (!document.getElementById(id)) say(name + ' names nothing', element);
}

// --- names
for (const field of all('input:not([type=hidden]),select,textarea')) {
	if (!shown(field)) continue;
	if (!field.labels.length || !field.labels[0].textContent.trim()) say('a field has no label', field);
	if (field.type !== 'checkbox' && field.type !== 'radio' && !field.autocomplete && field.type === 'password')
		say('a password has no purpose', field);
	if (field.getAttribute('aria-invalid') === 'true' && !field.getAttribute('aria-describedby'))
		say('it is not said what is wrong', field);
}
for (const radio of all('input[type=radio]'))
	if (!radio.closest('fieldset') || !radio.closest('fieldset').querySelector('legend')) say('a choice has no question', radio);
for (const control of all('button,a[href]')) if (!control.textContent.trim()) say('a control has no name', control);
for (const image of all('img')) if (!image.hasAttribute('alt')) say('an image has no text', image);
for (const form of all('form')) if (!form.querySelector('button[type=submit],input[type=submit]')) say('a form has no button', form);
for (const table of all('table')) if (!table.querySelector('th')) say('a table has no headings', table);
for (const link of all('a')) if (!link.hasAttribute('href')) say('a link leads nowhere', link);

// --- contrast
const parse = text => {
	const parts = text.match(/[\d.]+/g).map(Number);
	return { r: parts[0], g: parts[1], b: parts[2], a: parts.length > 3 ? parts[3] : 1 };
};
const over = (top, below) => {
	const mix = (one, other) => one * top.a + other * (1 - top.a);
	return { r: mix(top.r, below.r), g: mix(top.g, below.g), b: mix(top.b, below.b), a: 1 };
};
const behind = element => {
	const layers = [];
	for (let at = element; at; at = at.parentElement) {
		const style = getComputedStyle(at);
		if (style.backgroundImage !== 'none') say('a background image', at);
		layers.push(parse(style.backgroundColor));
		if (layers[layers.length - 1].a === 1) break;
	}
	let colour = parse(getComputedStyle(document.documentElement).colorScheme.includes('dark') &&
		matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(18,18,18)' : 'rgb(255,255,255)');
	while (layers.length) colour = over(layers.pop(), colour);
	return colour;
};
const light = ({ r, g, b }) => {
	const [x, y, z] = [r, g, b].map(value => {
		value /= 255;
		return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
	});
	return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const contrast = (one, other) => {
	const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
	return (a + 0.05) / (b + 0.05);
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
	const element = texts.currentNode.parentElement;
	if (!texts.currentNode.textContent.trim() || !shown(element) || ['SCRIPT', 'STYLE'].includes(element.tagName)) continue;
	const style = getComputedStyle(element), size = parseFloat(style.fontSize);
	const wanted = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
	const found = contrast(over(parse(style.color), behind(element)), behind(element));
	if (found < wanted) say('contrast ' + found.toFixed(2), element);
}
for (const field of all('input:not([type=hidden]),select,textarea')) {
	if (!shown(field)) continue;
	const style = getComputedStyle(field), ticked = ['checkbox', 'radio'].includes(field.type);
	if (!ticked && contrast(over(parse(style.color), behind(field)), behind(field)) < 4.5) say('contrast of what is typed', field);
	if (contrast(parse(style.borderTopColor), behind(field.parentElement)) < 3) say('the edge of a field is not to be seen', field);
}

// --- keyboard
for (const control of all('a[href],button,input:not([type=hidden]),select,textarea,summary')) {
	if (!shown(control) || control.disabled) continue;
	if (control.tabIndex !== 0) say('not reached in order by the keyboard', control);
	control.focus({ focusVisible: true });
	const style = getComputedStyle(control);
	if (document.activeElement !== control) say('cannot have the focus', control);
	else if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) say('one does not see the focus', control);
	else if (contrast(over(parse(style.outlineColor), behind(control.parentElement)), behind(control.parentElement)) < 3)
		say('one hardly sees the focus', control);
}

// --- a narrow screen, or large letters
if (document.documentElement.scrollWidth > document.documentElement.clientWidth) say('wider than the screen');
return problems;
"""

SCHEMES = ("light", "dark")
WIDTHS = (1200, 320)


def look(browser):
    """What is wrong with the page that is open; [] is fine."""
    driver = browser.driver
    # Its text is there before its style is.
    browser.wait(lambda driver: driver.execute_script("return document.readyState") == "complete", "the whole page")
    focused = driver.execute_script("return document.activeElement && document.activeElement.id")
    problems = []
    try:
        for scheme in SCHEMES:
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                   {"features": [{"name": "prefers-color-scheme", "value": scheme},
                                                 {"name": "prefers-reduced-motion", "value": "reduce"}]})
            for width in WIDTHS:
                driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                       {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})
                problems += [f"{scheme}, {width}: {problem}" for problem in driver.execute_script(CHECKS)]
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        if focused:
            driver.execute_script("document.getElementById(arguments[0]).focus()", focused)
    return problems
