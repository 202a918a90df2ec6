// What the tests ask a page.
const live = () => document.querySelector(".live");
const table = (name) => document.querySelector(`table.${name}`);
const rows = (name) => [...table(name).tBodies[0].rows].filter((row) => !row.hidden);
const words = (cell) => (cell.querySelector("bdi") ?? cell).textContent.trim();
const column = (name, at) => rows(name).map((row) => words(row.cells[at]));
const values = (name, at) => rows(name).map((row) => (row.cells[at].dataset.v === undefined ? null : Number(row.cells[at].dataset.v)));
const heading = (name, label) => [...table(name).querySelectorAll("thead .sort")].find((button) => button.textContent.trim() === label);
const type = (name, text) => {
  const field = table(name).closest(".scroll").previousElementSibling.querySelector("input");
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
};
const middle = (element) => {
  element.scrollIntoView({ block: "center" });
  const box = element.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
};
const marker = (at) => live().querySelectorAll(".stage .mark")[at];
const tip = () => document.querySelector(".tip").textContent;
const chip = (label) => [...live().querySelectorAll(".chip")].find((button) => button.textContent === label);
const drawn = () => [...live().querySelectorAll(".stage .name title")].map((title) => title.textContent);
const axisWords = () => live().querySelector(".stage > svg").textContent;
const control = (name) => live().querySelector("form").elements[name];
const options = (name) => [...control(name).options].map((option) => option.value);
const choose = (name, value) => {
  const field = control(name);
  const element = field instanceof RadioNodeList ? [...field].find((radio) => radio.value === value) : field;
  if (typeof value === "boolean") element.checked = value;
  else if (element.type === "radio") element.checked = true;
  else element.value = value;
  element.dispatchEvent(new Event("change", { bubbles: true }));
};
const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
const settled = async () => {
  for (let i = 0; i < 100; i += 1) {
    await frame();
    const stages = [...document.querySelectorAll(".live:not([hidden]) .stage")];
    const told = document.querySelector(".seal output");
    if (stages.every((stage) => stage.querySelector("svg")) && (!told || told.querySelector("span"))) return true;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error("the page does not come to rest");
};
// Draws every view of every live figure, on both axes, with and without its first arms.
const everyView = async () => {
  let drawn = 0;
  for (const one of document.querySelectorAll(".live:not([hidden])")) {
    const { elements } = one.querySelector("form");
    for (const view of elements.view) {
      view.checked = true;
      view.dispatchEvent(new Event("change", { bubbles: true }));
      for (const over of elements.over.options) {
        elements.over.value = over.value;
        elements.over.dispatchEvent(new Event("change", { bubbles: true }));
        for (const log of [true, false]) {
          elements.log.checked = log;
          elements.whole.checked = log;
          elements.log.dispatchEvent(new Event("change", { bubbles: true }));
          drawn += 1;
        }
      }
    }
    const chips = [...one.querySelectorAll(".chip")].slice(0, 3);
    for (const chip of chips) chip.click();
    for (const chip of chips) chip.click();
  }
  await frame();
  return drawn;
};
// Numbers that are none, and shapes that lie far outside, in what the live figures draw.
const odd = () => {
  const found = [];
  for (const svg of document.querySelectorAll(".stage > svg")) {
    if (/NaN|Infinity|undefined|null/.test(svg.outerHTML)) found.push(svg.outerHTML.match(/.{60}(NaN|Infinity|undefined|null).{20}/)?.[0]);
    const box = svg.getBoundingClientRect();
    for (const mark of svg.querySelectorAll(".mark")) {
      const at = mark.getBoundingClientRect();
      if (at.left < box.left - 12 || at.right > box.right + 12 || at.top < box.top - 12 || at.bottom > box.bottom + 12) found.push(`a marker at ${at.left}, ${at.top}`);
    }
  }
  return found;
};
// Figures as they are drawn for print, by words of their titles.
const still = (words) => [...document.querySelectorAll("figure svg")].find((svg) => svg.querySelector("title").textContent.includes(words));
const spot = (words, at) => still(words).querySelectorAll(".spots circle")[at];
const said = (words) => still(words).closest("figure").querySelector(".said").textContent;
// What sticks out of the page to the right.
const wide = (selector) => [...document.querySelectorAll(selector)]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 1)
  .map((one) => `${one.tagName}.${one.className.baseVal ?? one.className}: ${Math.round(one.getBoundingClientRect().right)} of ${innerWidth}, ${one.textContent.trim().slice(0, 40)}`);
const seal = () => [...document.querySelectorAll(".seal output span")].map((span) => span.textContent.startsWith("✓"));
const rgb = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);
const luminance = (colour) => {
  const [r, g, b] = rgb(colour).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const grounds = () => [
  luminance(getComputedStyle(document.body).backgroundColor),
  ...[...document.querySelectorAll("figure svg > rect:first-of-type")].map((rect) => luminance(getComputedStyle(rect).fill)),
];
const inks = () => [...document.querySelectorAll(".arms .key")].map((key) => contrast(getComputedStyle(key).color, getComputedStyle(document.body).backgroundColor));
const seen = (selector) => document.querySelector(selector)?.checkVisibility({ contentVisibilityAuto: true }) ?? null;
const onPaper = () => ({ live: seen(".live"), still: seen(".still figure svg"), filter: seen(".filter") });
const serious = async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  const heavy = violations.filter((one) => ["serious", "critical"].includes(one.impact));
  return heavy.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
};
