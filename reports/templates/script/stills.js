// Figures as they are drawn for print: their values in words below them, to pointer and arrow keys.

function still(group) {
  const svg = group.ownerSVGElement;
  const spots = all("circle", group);
  const said = make("output", { class: "said" });
  svg.closest("figure").querySelector("figcaption").before(said);
  const title = svg.querySelector("title").textContent;
  // A picture has no parts for who listens; a group has.
  for (const [name, value] of Object.entries({ role: "group", "aria-roledescription": "figure", "aria-label": `${title}; arrow keys go from value to value`, tabindex: "0" })) {
    svg.setAttribute(name, value);
  }
  svg.closest(".scroll").removeAttribute("tabindex");
  let at = -1;
  const show = (next) => {
    spots[at]?.classList.remove("here");
    at = next;
    spots[at]?.classList.add("here");
    said.textContent = spots[at]?.textContent ?? "";
  };
  group.addEventListener("pointerover", (event) => show(spots.indexOf(event.target.closest("circle"))));
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(Math.min(spots.length - 1, Math.max(0, at + step)));
  });
  svg.addEventListener("focusout", () => show(-1));
}
