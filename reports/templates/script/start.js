// Once the page is there.

document.documentElement.classList.add("scripted");
all("table").forEach(table);
links();
all("figure .spots").forEach(still);
if (data) {
  for (const live of all(".live")) {
    if (live.closest("section").querySelector(".arms .key")) {
      new Figure(live);
      // Its figures for copying and for print stay one click away.
      for (const still of all("details.still", live.closest("section"))) still.open = false;
    }
  }
  const block = document.querySelector(".seal");
  if (block) setTimeout(() => seal(block));
}
