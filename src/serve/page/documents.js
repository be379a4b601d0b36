/* documents.js - files that are dropped on the page, or chosen, go into the server's index.
 *
 * Only where the server lets them (features.uploads). Each is sent by itself, one after the other,
 * and what became of it is said in a line.
 */
import { addDocument } from "./api.js";
import { $, toast } from "./view.js";

const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

/* Sends the files; `key` as for every request. Returns how many the index has now. */
async function send(files, key) {
  const refused = [];
  let n = 0;
  for (const file of files) {
    try {
      await addDocument(file.name, file, key);
      n++;
    } catch (e) {
      refused.push(`${file.name}: ${e.message}`);
    }
  }
  const added = n === 0 ? "" : n === 1 && files.length === 1 ? `${files[0].name} is a source now.` : `${n} documents are sources now.`;
  toast([added, ...refused].filter(Boolean).join(" "));
  return n;
}

/* `isOn` and `key` are asked each time; `onAdded` is called when there is something new. */
export function wireDocuments({ isOn, key, onAdded }) {
  const add = async (files) => { if (files.length > 0 && (await send(files, key())) > 0) onAdded(); };
  document.addEventListener("dragover", (e) => {
    if (!isOn() || !hasFiles(e)) return;
    e.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", (e) => { if (!e.relatedTarget) document.body.classList.remove("dropping"); });
  document.addEventListener("drop", (e) => {
    document.body.classList.remove("dropping");
    if (!isOn() || !hasFiles(e)) return;
    e.preventDefault();
    add([...e.dataTransfer.files]);
  });
  $("add-document").addEventListener("click", () => $("document-file").click());
  $("document-file").addEventListener("change", async (e) => {
    const files = [...e.target.files];
    e.target.value = "";
    await add(files);
  });
}
