// Numbers, times and axes.

const minus = (text) => text.replace("-", "−");
function shown(value, digits = 4, least = 1) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return minus(value.toExponential(digits - 1));
  return minus(Number(value.toPrecision(digits)).toLocaleString("en", { minimumSignificantDigits: least, maximumSignificantDigits: digits }));
}
const unitOf = (seconds) => (seconds < 0.5 ? ["ms", 1e-3] : seconds < 600 ? ["s", 1] : seconds < 7200 ? ["min", 60] : ["h", 3600]);
function time(seconds) {
  const [unit, length] = unitOf(seconds);
  return `${three(seconds / length)} ${unit}`;
}
// With three digits, whatever they are: 3.00 beside 3.55.
const three = (value) => shown(value, 3, 3);
// Labels of ticks, with as many decimals as any of them needs.
function labels(values, log) {
  const plain = values.map((value) => shown(value, 6));
  if (log || plain.some((text) => text.includes("e"))) return plain;
  const decimals = Math.max(...plain.map((text) => (text.split(".")[1] ?? "").length), 0);
  return values.map((value) => minus(value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })));
}
// Ends of values, however many: as arguments of a function, a hundred thousand would be too many.
const leastOf = (values, start = Infinity) => values.reduce((a, b) => Math.min(a, b), start);
const mostOf = (values, start = -Infinity) => values.reduce((a, b) => Math.max(a, b), start);
const between = (interval, say) => (interval ? ` [${say(interval.low)}, ${say(interval.high)}]` : "");

// Values laid over a stretch of the figure, with round values for its ticks.
function axis(low, high, log, from, to) {
  if (!(low < high)) {
    const margin = Math.max(Math.abs(low) * 0.05, 1e-3);
    [low, high] = [low - margin, high + margin];
  }
  log = log && low > 0;
  const lay = log ? Math.log : (value) => value;
  const at = (value) => {
    const share = (lay(value) - lay(low)) / (lay(high) - lay(low));
    return from + Math.min(11, Math.max(-10, Number.isNaN(share) ? 0 : share)) * (to - from);
  };
  const ticks = (count) => {
    const values = [];
    if (log) {
      const powers = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
      const leads = powers[1] - powers[0] > count / 2 ? [1] : [1, 2, 5];
      for (let power = powers[0]; power <= powers[1]; power += 1) {
        for (const lead of leads) values.push(Number(`${lead}e${power}`));
      }
      const inside = values.filter((value) => value >= low && value <= high);
      if (inside.length > 2) return inside;
      values.length = 0;
    }
    const rough = (high - low) / Math.max(1, count);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5].find((lead) => rough / power <= lead * 1.0001) ?? 10);
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9 && values.length < 50; i += 1) values.push(i * step);
    return values.map((value) => Number(value.toPrecision(12)));
  };
  return { at, ticks, low, high, log, holds: (value) => value >= low && value <= high };
}

// The bulk of the values and all that must be seen: one diverged arm squeezes no other into a line.
function zoom(values, keep) {
  const sorted = values.filter(Number.isFinite).sort((a, b) => a - b);
  const quartile = (share) => sorted[Math.round((sorted.length - 1) * share)] ?? 0;
  const [first, third] = [quartile(0.25), quartile(0.75)];
  const reach = 3 * Math.max(third - first, 0.01 * Math.max(Math.abs(first), Math.abs(third)));
  const bulk = sorted.filter((value) => value >= first - reach && value <= third + reach).concat(keep.filter(Number.isFinite));
  if (bulk.length === 0) return [0, 1];
  const [low, high] = [leastOf(bulk), mostOf(bulk)];
  const margin = Math.max((high - low) * 0.06, Math.max(Math.abs(low), Math.abs(high)) * 1e-4);
  return [low - margin, high + margin];
}
