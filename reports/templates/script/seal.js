// The digest of the data of this page: SHA-256 (FIPS 180-4) over their canonical JSON (RFC 8785).

const canonical = (value) => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
};

// Written here, because a browser keeps crypto.subtle from pages that came over plain HTTP.
function sha256(bytes) {
  const primes = [];
  for (let n = 2; primes.length < 64; n += 1) if (primes.every((prime) => n % prime)) primes.push(n);
  const part = (root) => ((root - Math.floor(root)) * 2 ** 32) | 0;
  const k = primes.map((prime) => part(Math.cbrt(prime)));
  const hash = primes.slice(0, 8).map((prime) => part(Math.sqrt(prime)));
  const padded = new Uint8Array(((bytes.length + 72) >> 6) << 6);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length << 3);
  const w = new Int32Array(64);
  const turn = (x, by) => (x >>> by) | (x << (32 - by));
  for (let from = 0; from < padded.length; from += 64) {
    for (let i = 0; i < 16; i += 1) w[i] = view.getInt32(from + 4 * i);
    for (let i = 16; i < 64; i += 1) {
      const a = w[i - 15], b = w[i - 2];
      w[i] = (w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ (a >>> 3)) + w[i - 7] + (turn(b, 17) ^ turn(b, 19) ^ (b >>> 10))) | 0;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i += 1) {
      const first = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, i) => (hash[i] = (hash[i] + value) | 0));
  }
  return hash.map((value) => (value >>> 0).toString(16).padStart(8, "0")).join("");
}

function seal(block) {
  const bytes = new TextEncoder().encode(canonical(data));
  const found = sha256(bytes);
  const equal = found === block.dataset.digest;
  // The table of cells is what a reader sees of the data: every row must be one of them.
  const rows = all("table.runs tbody tr");
  const odd = rows.filter((row) => {
    const run = data.runs[Number(row.dataset.run)];
    const told = (name) => row.querySelector(`[data-is=${name}]`)?.textContent ?? null;
    return !run || told("cell") !== run.cell || ["first_order_hash", "chain", "parameters", "run_digest"].some((name) => told(name) !== run[name]);
  }).length;
  const words = [
    equal ? "✓ This browser counts the same digest" : `✗ This browser counts another digest, ${found}: the data were changed after the page was written`,
    odd ? `✗ ${odd} of ${rows.length} rows of the tables of cells are not those of the data` : `✓ ${rows.length} rows of the tables of cells are those of the data`,
  ];
  const good = [equal, odd === 0];
  block.querySelector("output").replaceChildren(...words.map((line, i) => make("span", { class: good[i] ? "good" : "bad" }, line)));
}
