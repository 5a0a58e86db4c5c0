// Where pictures come from: dropped anywhere on the page, pasted, chosen in a dialog, or taken with a camera.

const firstFile = (transfer) => Array.from(transfer?.files ?? [])[0]
  ?? Array.from(transfer?.items ?? []).find((item) => item.kind === "file")?.getAsFile() ?? null;

export function takePictures({ page, choose, photograph, file, camera, onFile, onNothing }) {
  const take = (transfer) => {
    const found = firstFile(transfer);
    if (found) onFile(found);
    else onNothing();
  };
  for (const [button, input] of [[choose, file], [photograph, camera]]) {
    button.addEventListener("click", () => input.click());
    input.addEventListener("change", () => {
      if (input.files.length) onFile(input.files[0]);
      input.value = "";  // so that the same file can be chosen again
    });
  }
  // A computer's camera is no place to photograph from; a touch screen mostly has one behind it.
  photograph.hidden = !matchMedia("(pointer: coarse)").matches;

  let inside = 0;
  const show = (change) => {
    inside = Math.max(0, inside + change);
    page.classList.toggle("dragging", inside > 0);
  };
  page.addEventListener("dragenter", (event) => { event.preventDefault(); show(1); });
  page.addEventListener("dragleave", () => show(-1));
  page.addEventListener("dragover", (event) => event.preventDefault());
  page.addEventListener("drop", (event) => { event.preventDefault(); show(-inside); take(event.dataTransfer); });
  page.addEventListener("paste", (event) => {
    if (event.target.matches?.("input[type=text], textarea")) return;
    take(event.clipboardData);
  });
}
