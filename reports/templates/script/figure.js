// The figure of a workload that answers to its reader.

// A name without characters that turn the text around them or have no picture.
const harmless = (label) => label.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "\ufffd");

// The points of one curve over the means of another, in the order of the run.
function across(points, others) {
  const found = new Map(others.map((other) => [other.x, other.mean]));
  return points.filter((point) => found.has(point.x)).map((point) => ({ ...point, x: found.get(point.x), samples: point.x }));
}

class Figure {
  constructor(root) {
    this.root = root;
    this.workload = data.workloads[Number(root.dataset.place)];
    this.section = root.closest("section");
    this.stage = root.querySelector(".stage");
    this.tip = root.querySelector(".tip");
    this.note = root.querySelector(".note");
    this.controls = root.querySelector("form");
    const keys = all(".arms .key", this.section);
    this.space = keys[0].namespaceURI;
    this.arms = this.workload.arms.slice(0, keys.length).map((arm, place) => ({
      arm, place, label: harmless(arm.label), key: keys[place], colour: keys[place].getAttribute("color"), on: true,
      baseline: arm.label === this.workload.baseline,
      seeds: data.runs.filter((run) => run.workload === this.workload.workload && run.arm === arm.label).map((run) => run.seed),
    }));
    this.chips();
    // What else was recorded along the runs can be drawn, and be the axis that another metric is drawn over.
    const further = new Set(this.arms.flatMap((one) => Object.keys(one.arm.metrics_by_samples ?? {})));
    this.further = [...further].sort(new Intl.Collator("en", { numeric: true }).compare);
    // So can what runs count, of which the target's metric has a curve.
    const counted = this.arms.flatMap((one) => Object.entries(one.arm.costs ?? {}).filter(([, cost]) => cost.curve?.length > 0));
    this.counted = new Map(counted.map(([name]) => [name, name.replaceAll("_", " ")]).sort());
    this.controls.elements.over.append(...[...this.counted].map(([name, words]) => make("option", { value: name }, words)));
    this.controls.elements.over.append(...this.further.map((name) => make("option", { value: name }, name)));
    this.choices();
    this.controls.addEventListener("submit", (event) => event.preventDefault());
    this.controls.addEventListener("change", (event) => {
      if (event.target.name === "view" || event.target.name === "over") this.choices();
      this.draw();
    });
    this.stage.addEventListener("pointermove", (event) => this.hover(event));
    this.stage.addEventListener("pointerleave", () => this.say(null));
    this.stage.addEventListener("click", () => this.spot && this.open());
    this.stage.addEventListener("keydown", (event) => this.walk(event));
    this.stage.addEventListener("focusout", () => this.say(null));
    root.hidden = false;
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  // A button an arm: pressed it is drawn.
  chips() {
    const holder = this.root.querySelector(".chips");
    const buttons = this.arms.map((one) => {
      const label = make("bdi", {}, one.label);
      const chip = make("button", { type: "button", class: "chip", "aria-pressed": "true", title: one.label }, one.key.cloneNode(true), label);
      chip.addEventListener("click", () => this.show((other) => (other === one ? !one.on : other.on)));
      chip.addEventListener("dblclick", () => this.show((other) => other === one));
      return chip;
    });
    const every = make("button", { type: "button", class: "plain" }, "all");
    every.addEventListener("click", () => this.show(() => true));
    const none = make("button", { type: "button", class: "plain" }, "baseline only");
    none.addEventListener("click", () => this.show((one) => one.baseline));
    holder.append(...buttons, every, ...(this.arms.some((one) => one.baseline) ? [none] : []));
    this.buttons = buttons;
  }

  show(wanted) {
    const on = this.arms.map(wanted);
    this.arms.forEach((one, i) => {
      one.on = on[i];
      this.buttons[i].setAttribute("aria-pressed", String(on[i]));
    });
    this.draw();
  }

  // What can be chosen in this view: metrics at the budget, or those that have curves.
  choices() {
    const { view, over, metric } = this.controls.elements;
    this.view = view.value;
    const main = `${this.workload.split}/${this.workload.metric}`;
    let names;
    if (this.view === "budget") {
      names = new Set([main, ...this.arms.flatMap((one) => Object.keys(one.arm.at_budget))]);
    } else if (this.view === "curve") {
      const looks = over.value === "samples" ? this.arms.flatMap((one) => Object.keys(one.arm.looks_by_samples ?? {})) : [];
      // Times and counts are interpolated for the target's metric alone.
      const further = over.value === "time" || this.counted.has(over.value) ? [] : this.further.filter((name) => name !== over.value);
      names = new Set([main, ...looks, ...further]);
    } else {
      names = new Set([main]);
    }
    const before = metric.value;
    metric.replaceChildren(...[...names].map((name) => make("option", { value: name }, name)));
    metric.value = names.has(before) ? before : main;
    const part = (name, seen) => (this.root.querySelector(`[data-part=${name}]`).hidden = !seen);
    part("metric", names.size > 1);
    part("over", this.view === "curve");
    part("whole", this.view !== "time");
    // Where arms are far apart a linear axis shows one of them.
    const reach = this.view === "time" ? this.times() : this.view === "curve" && !this.further.includes(over.value) ? this.ends(over.value) : [];
    this.controls.elements.log.checked = reach.length > 1 && Math.max(...reach) > 8 * Math.min(...reach);
  }

  times() {
    return this.arms.flatMap((one) => one.arm.time_to_target.values).filter((value) => value > 0);
  }
  ends(over) {
    return this.arms.map((one) => this.along(one, over).at(-1)?.x).filter((x) => x > 0);
  }

  // The curve of the target's metric.
  along(one, over) {
    // One that trains nothing takes nothing, and stays where it is.
    if (this.counted.has(over)) return one.arm.costs?.[over]?.curve ?? (one.arm.idle ? one.arm.by_samples.slice(0, 1) : []);
    return over === "time" ? one.arm.by_time : one.arm.by_samples;
  }

  element(tag, attributes, ...children) {
    const element = document.createElementNS(this.space, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
  line(x1, y1, x2, y2, attributes) {
    this.svg.append(this.element("path", { d: `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`, fill: "none", ...attributes }));
  }
  text(x, y, words, attributes = {}) {
    const text = this.element("text", { x: x.toFixed(1), y: y.toFixed(1), ...attributes }, words);
    this.svg.append(text);
    return text;
  }
  marker(one, x, y, scale = 1, open = false) {
    const mark = one.key.querySelector(".mark").cloneNode(true);
    mark.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)}) scale(${scale}) translate(-14 -6)`);
    mark.setAttribute("color", one.colour);
    if (open) mark.classList.add("open");
    this.svg.append(mark);
  }

  draw() {
    this.say(null);
    this.width = Math.floor(this.stage.clientWidth);
    if (this.width < 50) return;
    this.spots = [];
    this.active = this.arms.filter((one) => one.on);
    this.svg = this.element("svg", { tabindex: "0", role: "group", "aria-roledescription": "figure" });
    this.note.textContent = "";
    const { log, over, metric, whole } = this.controls.elements;
    this.log = log.checked;
    const name = this.workload.workload;
    let words;
    if (this.view === "time") {
      words = `${name}: train time to ${this.workload.split} ${this.workload.metric} ${shown(this.workload.target, 6)}`;
      this.timeRows();
    } else if (this.view === "budget") {
      words = `${name}: ${metric.value} at the budget`;
      this.budgetRows(metric.value, whole.checked);
    } else {
      words = `${name}: ${metric.value} over ${{ time: "train time", samples: "samples seen" }[over.value] ?? this.counted.get(over.value) ?? over.value}`;
      this.curves(over.value, metric.value, whole.checked);
    }
    if (this.active.length === 0) this.text(this.width / 2, 60, "no arm is chosen", { "text-anchor": "middle", class: "soft" });
    this.svg.setAttribute("aria-label", `${words}; arrow keys go from value to value`);
    this.stage.replaceChildren(this.svg, this.tip);
    const left = this.workload.arms.length - this.arms.length;
    if (left > 0) this.note.textContent += ` The first ${this.arms.length} arms; the other ${left} are in the table.`;
  }

  size(height) {
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("height", height);
  }

  // A label, cut to a width; whole for who points at it.
  label(one, x, y, room, attributes) {
    const most = Math.max(4, Math.floor(room / 6.9));
    const letters = [...one.label];
    const cut = letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : one.label;
    const text = this.text(x, y, cut, { ...attributes, class: one.baseline ? "name base" : "name" });
    text.append(this.element("title", {}, one.label));
  }

  // Rows of arms with seeds, interval and centre.
  rows(entries, { range, log, unit, name, mark, words }) {
    const narrow = this.width < 560;
    const room = narrow ? this.width : Math.min(230, this.width * 0.28);
    const left = narrow ? 10 : room + 14;
    const right = this.width - (narrow || !words ? 16 : 190);
    const step = narrow ? 46 : 30;
    const top = 14;
    const bottom = top + Math.max(1, entries.length) * step;
    this.size(bottom + 46);
    const x = axis(range[0], range[1], log, left, right);
    this.scaleX(x, left, right, top, bottom, name, unit);
    for (const [value, style, say] of mark) {
      if (!x.holds(value)) continue;
      this.line(x.at(value), top, x.at(value), bottom, { class: style });
      this.text(x.at(value), top - 3, say, { class: "soft small", "text-anchor": x.at(value) > (left + right) / 2 ? "end" : "start" });
    }
    entries.forEach((entry, i) => {
      const { one } = entry;
      const y = top + step * (i + 0.5) + (narrow ? 8 : 0);
      if (narrow) this.label(one, 0, y - 14, room - 150, {});
      else this.label(one, room, y + 4, room, { "text-anchor": "end" });
      const says = narrow ? { x: this.width, anchor: "end", y: y - 14 } : { x: right + 14, anchor: "start", y: y + 4 };
      if (words || narrow) this.text(says.x, says.y, entry.short, { "text-anchor": says.anchor, class: "value" });
      const mine = [];
      entry.values.forEach((value, seed) => {
        if (!Number.isFinite(value) || !x.holds(value)) return;
        const at = [x.at(value), y + 8];
        this.svg.append(this.element("circle", { cx: at[0].toFixed(1), cy: at[1], r: 2.4, class: "seed", color: one.colour }));
        mine.push({ x: at[0], y: at[1], one, words: `seed ${one.seeds[seed] ?? seed}: ${entry.say(value)}` });
      });
      if (entry.stop !== undefined && x.holds(entry.stop)) {
        const at = x.at(entry.stop);
        this.line(at, y, at + 14, y, { stroke: one.colour, "stroke-width": 1.6 });
        this.svg.append(this.element("path", { d: `M${at + 20} ${y}l-7 -4v8z`, fill: one.colour }));
        this.marker(one, at, y, 1, true);
        mine.unshift({ x: at, y, one, words: entry.stopped });
      }
      if (entry.centre !== undefined) {
        if (entry.interval) {
          const ends = [entry.interval.low, entry.interval.high].map((end) => Math.min(right, Math.max(left, x.at(end))));
          this.line(ends[0], y, ends[1], y, { stroke: one.colour, "stroke-width": 2 });
          ends.forEach((end, which) => {
            const value = which ? entry.interval.high : entry.interval.low;
            if (x.holds(value)) this.line(end, y - 4, end, y + 4, { stroke: one.colour, "stroke-width": 1.5 });
            else this.svg.append(this.element("path", { d: `M${end} ${y}l${which ? "-6" : "6"} -3.5v7z`, fill: one.colour }));
          });
        }
        const at = Math.min(right, Math.max(left, x.at(entry.centre)));
        if (x.holds(entry.centre)) this.marker(one, at, y, 1.25);
        else this.svg.append(this.element("path", { d: `M${at} ${y}l${at === left ? "9" : "-9"} -5v10z`, fill: one.colour }));
        mine.unshift({ x: at, y, one, words: entry.long });
      }
      if (mine.length > 0) this.spots.push(mine);
    });
  }

  timeRows() {
    const entries = this.active.map((one) => {
      const to = one.arm.time_to_target;
      const { reached, censored, diverged } = one.arm.outcomes;
      const ran = reached + censored + diverged;
      const centre = to.geometric_mean ?? to.median ?? undefined;
      const kind = to.geometric_mean !== null ? "geometric mean" : "median";
      const stop = !one.arm.idle && reached < ran ? to.censored_at ?? to.horizon : undefined;
      const without = one.arm.idle ? "trains nothing" : ran === 0 ? "no run" : to.at_start > 0 ? "met at the start" : to.values.length === 0 ? "no clock" : "not reached";
      return {
        one, centre, stop, say: time, interval: centre === undefined ? null : to.interval, values: to.values.map((value) => value ?? NaN),
        short: `${centre === undefined ? without : time(centre) + between(to.interval, (end) => three(end / unitOf(centre)[1]))} · ${reached}/${ran}`,
        long: centre === undefined ? "" : `${time(centre)}${between(to.interval, time)}, ${kind}; ${reached} of ${ran} reached it`,
        stopped: `${ran - reached} of ${ran} had not reached it at ${time(stop ?? 0)}`,
      };
    });
    const seen = entries.flatMap((entry) => [
      ...entry.values, entry.centre ?? NaN, entry.stop ?? NaN,
      ...(entry.interval ? [Math.max(entry.interval.low, entry.centre / 3), Math.min(entry.interval.high, entry.centre * 3)] : []),
    ]).filter((value) => Number.isFinite(value) && value >= 0);
    const positive = seen.filter((value) => value > 0);
    const most = mostOf(seen, 0), least = leastOf(positive, most);
    if (most === 0) this.note.textContent = "No arm shown here has a time to the target.";
    const [unit, length] = unitOf(most);
    const base = this.arms.find((one) => one.baseline)?.arm.time_to_target;
    const mark = base ? [[base.geometric_mean ?? base.median ?? NaN, "dotted", ""]] : [];
    const range = this.log ? [least / 1.15, most * 1.15] : [0, most * 1.04 || 1];
    this.rows(entries, { range, log: this.log, unit: length, name: `train time to target (${unit})`, mark, words: true });
  }

  budgetRows(metric, whole) {
    const { workload } = this;
    const entries = this.active.filter((one) => one.arm.at_budget[metric]).map((one) => {
      const { value, interval, values, n, method } = one.arm.at_budget[metric];
      const say = (number) => shown(number);
      return {
        one, centre: value ?? undefined, interval, values: values.map((seed) => seed ?? NaN), say,
        short: `${say(value ?? NaN)}${between(interval, three)}`,
        long: `${say(value ?? NaN)}${between(interval, say)}, ${interval ? `${method}, ` : ""}n = ${n}`,
      };
    });
    const bulk = entries.flatMap((entry) => [entry.centre ?? NaN, ...(entry.interval ? [entry.interval.low, entry.interval.high] : [])]);
    const target = metric === `${workload.split}/${workload.metric}`;
    const everything = bulk.concat(entries.flatMap((entry) => entry.values)).filter(Number.isFinite);
    let range = whole && everything.length ? [leastOf(everything), mostOf(everything)] : zoom(bulk, target ? [workload.target] : []);
    range = this.possible(range, metric);
    const off = entries.filter((entry) => entry.centre < range[0] || entry.centre > range[1]).length;
    if (off > 0) this.note.textContent = `${off} of ${entries.length} arms lie beyond the axis, where an arrow points; “all values” shows them.`;
    this.rows(entries, { range, log: this.log, unit: 1, name: metric, mark: target ? [[workload.target, "dashed", `target ${shown(workload.target, 6)}`]] : [], words: true });
  }

  // No axis goes beyond the best value of its metric, where one is known, but to what was measured.
  possible([low, high], metric) {
    const { workload } = this;
    const name = metric.slice(metric.indexOf("/") + 1).split("@")[0];
    const own = name === workload.metric || this.arms.some((one) => one.arm.looks_by_samples?.[metric]);
    const listed = (wanted) => workload.metrics?.find((one) => one.name === wanted);
    // A part of a metric (accuracy/4) can be what the whole can.
    const row = own ? workload : listed(name) ?? listed(name.split("/")[0]);
    const best = row?.best;
    if (best === null || best === undefined) return [low, high];
    const seeds = this.arms.flatMap((one) => one.arm.at_budget[metric]?.values ?? []);
    const beyond = (value) => (row.higher_is_better ? value > best : value < best);
    if (seeds.some(beyond)) return [low, high];
    return row.higher_is_better ? [low, Math.min(high, best)] : [Math.max(low, best), high];
  }

  scaleX(x, left, right, top, bottom, name, unit) {
    let free = -Infinity;
    const values = x.ticks(Math.max(2, Math.floor((right - left) / 70)));
    const said = labels(values.map((value) => value / unit), x.log);
    for (const [i, value] of values.entries()) {
      const at = x.at(value), words = said[i], half = words.length * 3.6;
      this.line(at, top, at, bottom, { class: "grid" });
      if (at - half < free) continue;
      this.text(at, bottom + 18, words, { "text-anchor": "middle", class: "soft" });
      free = at + half + 6;
    }
    this.line(left, bottom, right, bottom, { class: "axis" });
    this.text((left + right) / 2, bottom + 38, name + (x.log ? ", log axis" : ""), { "text-anchor": "middle" });
  }

  curves(over, metric, whole) {
    const { workload } = this;
    const main = metric === `${workload.split}/${workload.metric}`;
    // Over another metric points stand where both were taken; a line through them turns as the run goes on.
    const count = this.counted.get(over);
    const turned = over !== "time" && over !== "samples" && count === undefined;
    const entries = this.active.map((one) => {
      const along = main ? one.arm.by_samples : one.arm.looks_by_samples?.[metric] ?? one.arm.metrics_by_samples?.[metric] ?? [];
      const points = turned ? across(along, one.arm.metrics_by_samples?.[over] ?? []) : main && over !== "samples" ? this.along(one, over) : along;
      const fits = points.filter((point) => Number.isFinite(point.x) && Number.isFinite(point.mean) && (!this.log || point.x > 0));
      return { one, points: fits.map((point) => ({ ...point, low: point.low ?? point.mean, high: point.high ?? point.mean })) };
    });
    const trained = entries.filter((entry) => !entry.one.arm.idle && entry.points.length > 0);
    const xs = trained.flatMap((entry) => entry.points.map((point) => point.x));
    const ends = xs.length ? [leastOf(xs, this.log || turned ? Infinity : 0), mostOf(xs)] : [0, 1];
    // Lines that turn have ends on either side.
    const aside = turned && !this.log ? 0.03 * (ends[1] - ends[0]) : 0;
    ends[0] -= aside;
    ends[1] += aside;
    // An arm that trains nothing is a level from end to end.
    for (const entry of entries) {
      if (entry.one.arm.idle && entry.points.length > 0 && !turned) entry.points = ends.map((at) => ({ ...entry.points[0], x: at }));
    }
    const settled = trained.flatMap(({ points }) => points.filter((point, i) => (turned ? i >= 0.2 * (points.length - 1) : point.x >= 0.2 * points.at(-1).x)));
    const target = main ? [workload.target] : [];
    const every = entries.flatMap((entry) => entry.points.map((point) => point.mean)).concat(target);
    const range = this.possible(whole && every.length ? [leastOf(every), mostOf(every)] : zoom(settled.map((point) => point.mean), target), metric);
    const drawn = entries.filter((entry) => entry.points.length > 0);
    const side = this.width >= 640;
    const height = Math.max(side ? Math.min(drawn.length, 40) * 16 : 0, this.width < 560 ? 260 : 340);
    const top = 14, bottom = top + height;
    this.size(bottom + 46);
    const widest = Math.max(24, ...axis(...range, false, 0, 1).ticks(6).map((value) => shown(value, 6).length * 7.2));
    const left = Math.min(90, widest) + 12;
    const right = side ? this.width - Math.min(240, Math.max(90, ...drawn.map(({ one }) => [...one.label].length * 7 + 34))) : this.width - 10;
    const seconds = over === "time" && main;
    const [unit, length] = seconds ? unitOf(ends[1]) : ["samples", 1];
    const x = axis(...ends, this.log, left, right);
    const y = axis(...range, false, bottom, top);
    const heights = y.ticks(6), said = labels(heights);
    for (const [i, value] of heights.entries()) {
      this.line(left, y.at(value), right, y.at(value), { class: "grid" });
      this.text(left - 8, y.at(value) + 4, said[i], { "text-anchor": "end", class: "soft" });
    }
    this.scaleX(x, left, right, top, bottom, turned ? over : seconds ? `train time (${unit})` : count ?? "samples seen", length);
    // What is drawn in it ends at its edges.
    const inner = this.element("svg", { x: left, y: top, width: right - left, height, viewBox: `${left} ${top} ${right - left} ${height}` });
    const path = (points) => points.map(([px, py], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
    this.bands = new Map();
    for (const { one, points } of turned ? [] : drawn) {
      const edge = [...points.map((p) => [x.at(p.x), y.at(p.high)]), ...[...points].reverse().map((p) => [x.at(p.x), y.at(p.low)])];
      // Many bands over each other are mud: then only that of the line pointed at.
      const band = this.element("path", { d: `${path(edge)}Z`, fill: one.colour, class: drawn.length > 4 ? "band faint" : "band" });
      this.bands.set(one, band);
      inner.append(band);
    }
    this.svg.append(inner);
    if (main && y.holds(workload.target)) {
      this.line(left, y.at(workload.target), right, y.at(workload.target), { class: "dashed" });
      this.text(left + 6, y.at(workload.target) - 5, `target ${shown(workload.target, 6)}`, { class: "soft" });
    }
    for (const { one, points } of drawn) {
      const dash = one.key.dataset.dash;
      inner.append(this.element("path", {
        d: path(points.map((p) => [x.at(p.x), y.at(p.mean)])), fill: "none", stroke: one.colour, "stroke-width": one.baseline ? 2.6 : 2,
        "stroke-linejoin": "round", ...(dash ? { "stroke-dasharray": dash } : {}),
      }));
      const inside = points.filter((p) => y.holds(p.mean));
      const last = inside.at(-1);
      if (last) this.marker(one, x.at(last.x), y.at(last.mean));
      const where = (p) => (seconds ? time(p.x) : turned ? `${over} ${shown(p.x)}, ${shown(p.samples, 6)} samples` : `${shown(p.x, 6)} ${count ?? "samples"}`);
      const say = (p) => `${shown(p.mean)}${p.n > 1 ? ` [${shown(p.low)}, ${shown(p.high)}]` : ""} at ${where(p)}${p.n > 1 ? `, n = ${p.n}` : ""}`;
      const mine = inside.map((p) => ({ x: x.at(p.x), y: y.at(p.mean), one, words: say(p) }));
      if (mine.length > 0) this.spots.push(mine);
    }
    if (side) this.names(drawn, y, right, top, bottom);
    if (drawn.length === 0) this.text((left + right) / 2, (top + bottom) / 2, "no evaluations to show", { "text-anchor": "middle", class: "soft" });
    const cut = drawn.filter(({ points }) => points.some((p) => !y.holds(p.mean))).length;
    if (cut > 0) this.note.textContent = `The axis begins at ${shown(range[0], 3)} and ends at ${shown(range[1], 3)}; ${cut} of ${drawn.length} lines go beyond it. “All values” shows them whole.`;
  }

  // Labels beside the ends of their lines, moved apart.
  names(drawn, y, right, top, bottom) {
    const wanted = drawn.map((entry) => ({ ...entry, at: Math.min(bottom, Math.max(top, y.at(entry.points.at(-1).mean))) })).sort((a, b) => a.at - b.at);
    const gap = 15.5;
    let free = top + 4;
    for (const entry of wanted) free = (entry.put = Math.max(entry.at, free)) + gap;
    let most = bottom;
    for (const entry of [...wanted].reverse()) most = (entry.put = Math.min(entry.put, most)) - gap;
    for (const { one, points, put } of wanted) {
      const end = points.at(-1).mean;
      if (!y.holds(end)) this.text(right + 6, put + 4, end > y.high ? "▲" : "▼", { class: "small" });
      this.marker(one, right + 24, put);
      this.label(one, right + 34, put + 4, this.width - right - 36, {});
    }
  }

  // The value next to the pointer, or the one that arrow keys went to.
  hover(event) {
    const box = this.stage.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    let best = null, least = 30 ** 2;
    for (const spot of this.spots.flat()) {
      const distance = (spot.x - at[0]) ** 2 + (spot.y - at[1]) ** 2;
      if (distance < least) [best, least] = [spot, distance];
    }
    this.say(best);
  }

  walk(event) {
    if (event.key === "Escape") return this.say(null);
    if (event.key === "Enter" && this.spot) return this.open();
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || this.spots.length === 0) return;
    event.preventDefault();
    const from = this.spots.findIndex((mine) => mine.includes(this.spot));
    if (from < 0) return this.say(this.spots[0][0]);
    const clamp = (value, count) => Math.min(count - 1, Math.max(0, value));
    const mine = this.spots[clamp(from + step[0], this.spots.length)];
    // Up and down lead to the middle of a row, or along a curve to the same height of its axis.
    if (step[0] && this.view !== "curve") return this.say(mine[0]);
    const near = step[0] ? mine.reduce((a, b) => (Math.abs(b.x - this.spot.x) < Math.abs(a.x - this.spot.x) ? b : a)) : null;
    this.say(near ?? mine[clamp(mine.indexOf(this.spot) + step[1], mine.length)]);
  }

  say(spot) {
    this.spot = spot;
    this.ring?.remove();
    for (const [one, band] of this.bands ?? []) band.classList.toggle("lit", spot?.one === one);
    this.tip.hidden = !spot;
    if (!spot) return;
    this.ring = this.element("circle", { cx: spot.x.toFixed(1), cy: spot.y.toFixed(1), r: 8, class: "ring" });
    this.svg.append(this.ring);
    this.tip.replaceChildren(make("bdi", {}, spot.one.label), " ", spot.words);
    const room = this.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, spot.x + 12))}px`;
    this.tip.style.top = `${spot.y + 14}px`;
  }

  // From a value to the cells behind it.
  open() {
    evidence(this.section, [String(this.spot.one.place)], this.spot.one.label);
  }
}
