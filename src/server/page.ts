/** The page to try the service with: drop a photo, see its classes. No script from elsewhere, no dependency. */
export function page(): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>resnet-wasm</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { max-width: 36rem; margin: 3rem auto; padding: 0 1rem; }
  label { display: block; padding: 2.5rem 1rem; border: 2px dashed #8888; border-radius: 12px; text-align: center; cursor: pointer; }
  label:hover, label.over, label:focus-within { border-color: #07c; }
  input { position: absolute; opacity: 0; width: 1px; }
  img { display: block; max-width: 100%; max-height: 18rem; margin: 1rem auto; border-radius: 8px; }
  ol { list-style: none; padding: 0; }
  li { display: grid; grid-template-columns: 4rem 1fr; gap: .75rem; align-items: center; padding: .2rem 0; }
  li span { background: linear-gradient(90deg, #07c4 var(--p), transparent var(--p)); padding: .1rem .5rem; border-radius: 4px; }
  b { text-align: right; font-variant-numeric: tabular-nums; font-weight: 500; }
  p[role=status] { min-height: 1.5em; color: #888; }
</style>
<h1>What is in the photo?</h1>
<label id="drop">Drop a photo here, or choose one<input id="file" type="file" accept="image/jpeg,image/png,image/webp"></label>
<img id="photo" alt="" hidden>
<p role="status" id="status"></p>
<ol id="classes"></ol>
<script>
  const [drop, file, photo, status, classes] = ["drop", "file", "photo", "status", "classes"].map((id) => document.getElementById(id));
  // No network sees more than some hundred pixels: a large photo need not travel whole.
  async function smaller(blob) {
    const bitmap = await createImageBitmap(blob).catch(() => undefined);
    const scale = bitmap === undefined ? 1 : Math.sqrt(1e6 / (bitmap.width * bitmap.height));
    if (scale >= 1) return blob;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    return new Promise((done) => canvas.toBlob((made) => done(made ?? blob), "image/jpeg", 0.95));
  }
  async function classify(blob) {
    URL.revokeObjectURL(photo.src);
    photo.src = URL.createObjectURL(blob); photo.hidden = false; classes.replaceChildren(); status.textContent = "Looking …";
    try {
      const response = await fetch("/classify", { method: "POST", body: await smaller(blob) });
      const answer = await response.json();
      if (!response.ok) throw new Error(answer.error.message);
      status.textContent = answer.ms === undefined ? "" : answer.ms + " ms";
      classes.replaceChildren(...answer.predictions.map(({ label, probability }) => {
        const line = document.createElement("li"), share = document.createElement("b"), name = document.createElement("span");
        share.textContent = (100 * probability).toFixed(1) + " %";
        name.textContent = label;
        name.style.setProperty("--p", 100 * probability + "%");
        line.append(share, name);
        return line;
      }));
    } catch (error) { status.textContent = error.message; }
  }
  file.addEventListener("change", () => file.files[0] && classify(file.files[0]));
  for (const type of ["dragover", "dragleave", "drop"]) drop.addEventListener(type, (event) => {
    event.preventDefault(); drop.classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files[0]) classify(event.dataTransfer.files[0]);
  });
</script>
`;
}
