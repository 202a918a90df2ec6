// What a report does beside being read. Nothing here is needed to read it: without scripts every table and figure is there
// and stands still. These files are one function, in the order of `html/script.rs`; nothing is loaded.

const all = (what, where = document) => [...where.querySelectorAll(what)];
const holder = document.getElementById("data");
const data = holder ? JSON.parse(holder.textContent) : null;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Tables: sorted by a click on a heading, filtered by words, and cards on narrow screens.

// The cell of a row that stands in a column, over cells that span several.
function cellAt(row, column) {
  let at = 0;
  for (const cell of row.cells) {
    at += cell.colSpan;
    if (column < at) return cell;
  }
  return null;
}

// What a cell is sorted by: a number where it is one, else its words; nothing where it is empty.
function keyOf(cell) {
  if (!cell) return null;
  const text = (cell.dataset.v ?? cell.textContent).trim();
  if (text === "" || text === "–") return null;
  const plain = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1");
  if (/^∞/.test(plain)) return Infinity;
  const number = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?/i.exec(plain);
  return number ? Number(number[0]) : text.toLowerCase();
}

function compare(a, b) {
  if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b);
  return typeof a === "number" ? -1 : 1;
}

function table(element) {
  const body = element.tBodies[0];
  const heads = all("thead th", element);
  if (!body || heads.length === 0) return;
  const rows = [...body.rows];
  const names = heads.map((head) => head.textContent.trim());
  // Cards take the display of a table away, and its meaning with it, unless roles say it again.
  element.setAttribute("role", "table");
  for (const part of all("thead, tbody", element)) part.setAttribute("role", "rowgroup");
  for (const row of all("tr", element)) row.setAttribute("role", "row");
  for (const head of heads) head.setAttribute("role", "columnheader");
  for (const row of rows) {
    let column = 0;
    for (const cell of row.cells) {
      cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
      if (column > 0) cell.dataset.label = names[column];
      column += cell.colSpan;
    }
  }
  element.classList.add("cards");
  // What can scroll can be reached by keys, also where cards hide the headings.
  if (!body.querySelector("a[href], summary")) element.closest(".scroll")?.setAttribute("tabindex", "0");
  if (rows.length < 2) return;

  heads.forEach((head, column) => {
    const button = make("button", { type: "button", class: "sort" });
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const next = { ascending: "descending", descending: null }[before] ?? (before ? null : "ascending");
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      const turn = next === "descending" ? -1 : 1;
      const keyed = rows.map((row) => [keyOf(cellAt(row, column)), row]);
      const there = keyed.filter(([key]) => key !== null);
      if (next) there.sort((a, b) => turn * compare(a[0], b[0]));
      const order = next ? [...there, ...keyed.filter(([key]) => key === null)] : keyed;
      body.append(...order.map(([, row]) => row));
    });
  });
  if (rows.length > 5) filter(element, rows);
}

// A field that leaves the rows with all its words, and a way to see the rows of some arms alone.
function filter(element, rows) {
  const field = make("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  const count = make("output");
  const only = make("button", { type: "button", class: "plain", hidden: "" });
  const bar = make("div", { class: "filter" }, make("label", {}, "Filter ", field), only, count);
  (element.closest(".scroll") ?? element).before(bar);
  let arms = null;
  const words = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      const fits = wanted.every((word) => words[i].includes(word)) && (!arms || arms.includes(row.dataset.arm));
      row.hidden = !fits;
      shown += fits;
    });
    count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} rows`;
    only.hidden = !arms;
  };
  field.addEventListener("input", apply);
  only.addEventListener("click", () => {
    arms = null;
    apply();
    field.focus();
  });
  element.showArms = (wanted, label) => {
    arms = wanted;
    field.value = "";
    only.textContent = `only ${label} · show all`;
    apply();
  };
}

// The evidence behind a number: the cells of its arms, alone, with the first one opened.
function evidence(section, arms, label) {
  const cells = section.querySelector("table.runs");
  if (!cells) return;
  for (let fold = cells.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  cells.showArms?.(arms, label);
  const first = [...cells.tBodies[0].rows].find((row) => arms.includes(row.dataset.arm));
  const summary = first?.querySelector("summary");
  if (!summary) return;
  summary.parentElement.open = true;
  first.scrollIntoView({ block: "center" });
  summary.focus({ preventScroll: true });
}

function links() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-arms]");
    const target = link && document.getElementById(link.hash.slice(1));
    if (!target) return;
    event.preventDefault();
    evidence(target.closest("section"), link.dataset.arms.split(" "), link.dataset.of ?? link.closest("tr").querySelector("bdi").textContent);
  });
  // A link into a fold opens it, also where a browser does not do so by itself.
  const open = () => {
    let at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const target = at;
    for (; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    target?.scrollIntoView();
  };
  addEventListener("hashchange", open);
  if (location.hash) open();
}
