// The script of a folder's page: filter while the user types, sort without a reload, upload with progress and go
// on after an interruption, ask before a file is deleted or replaced. Without it the page works by links and forms.
// Tables come from the server, so only the server sorts names.
"use strict";

const find = (selector) => document.querySelector(selector);
const filter = find("#filter");
const here = new URL(".", location.href);
here.pathname = here.pathname.replace(/\/{2,}/g, "/"); // Files are written under their plain names only.
const topmost = new URL(".", document.currentScript.src);

// ---- The table

const rows = () => document.querySelectorAll("#entries tbody tr");

function applyFilter() {
  const wanted = filter.value.toLowerCase();
  const all = rows();
  let shown = 0;
  for (const row of all) {
    const fits = row.cells[0].textContent.toLowerCase().includes(wanted);
    row.hidden = !fits;
    shown += fits;
  }
  const count = find("#count");
  count.dataset.all ??= count.textContent;
  count.textContent = wanted ? `${shown.toLocaleString("en")} of ${all.length.toLocaleString("en")} shown` : count.dataset.all;
}

async function load(url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  if (!response.ok) {
    location.assign(url);
    return;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const focused = document.activeElement?.id;
  for (const id of ["entries", "count"]) {
    document.getElementById(id).replaceWith(page.getElementById(id));
  }
  if (focused) document.getElementById(focused)?.focus();
  history.replaceState(null, "", url);
  applyFilter();
}

function renew() {
  return load(location.href);
}

filter.addEventListener("input", applyFilter);
filter.form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("click", (event) => {
  const link = event.target.closest("th a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  load(link.href);
});
document.documentElement.classList.add("script");
const query = new URLSearchParams(location.search);
if (query.get("q")) { // The server has filtered the table: load all of it, and filter here.
  query.delete("q");
  load(`?${query}`);
} else {
  applyFilter(); // The browser may have kept the text of the filter.
}

// ---- Asking

// Show a dialog; return the value of the button that closed it, "" for Escape.
function ask(dialog, text) {
  dialog.querySelector("p").textContent = text;
  dialog.returnValue = "";
  dialog.showModal();
  dialog.querySelector(".first").focus(); // Not "autofocus": browsers report it where a URL has a fragment.
  return new Promise((answer) => {
    // The event comes a moment after the closing: the dialog may ask again already.
    dialog.onclose = () => dialog.open || answer(dialog.returnValue);
  });
}

// The reason for a refusal, in one line.
async function reason(response) {
  const text = (await response.text()).trim();
  const type = response.headers.get("Content-Type") ?? "";
  return type.startsWith("text/plain") && text ? text.split("\n")[0] : `${response.status} ${response.statusText}`;
}

function say(text, good = false) {
  const notice = find("#notice");
  if (notice) {
    notice.textContent = text;
    notice.hidden = !text;
    notice.className = good ? "good" : "";
  }
}

// Mark the rows of some names in this folder, and show the first of them.
function mark(names) {
  let first = null;
  for (const row of rows()) {
    const path = new URL(row.cells[0].firstElementChild.href).pathname.replace(/\/$/, "");
    if (!names.has(decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)))) continue;
    row.classList.add("new");
    first ??= row;
  }
  first?.scrollIntoView({ block: "center" });
}

// ---- Deleting

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a.delete");
  if (!link) return;
  event.preventDefault();
  const name = new URLSearchParams(link.search).get("delete");
  if (await ask(find("#delete"), `Delete “${name}”?`) !== "delete") return;
  const slash = link.closest("tr").classList.contains("folder") ? "/" : "";
  const response = await fetch(new URL(encodeURIComponent(name) + slash, here), { method: "DELETE", headers: { Accept: "text/plain" } });
  if (response.ok) say(`Deleted: ${name}.`, true);
  else say(`${name}: ${await reason(response)}`);
  await renew();
});

// ---- Uploading

const form = find("form.upload");
if (form) prepareUploads(form);

function prepareUploads(form) {
  const AT_ONCE = 3;
  const PIECE = 16 * 1024 * 1024; // Larger files go in pieces of that size, and go on after an interruption.
  const PAUSES = [1, 2, 5, 10, 30]; // Seconds before a piece is tried again.
  const MOST_TRIES = 60;
  const limit = Number(form.dataset.limit);
  const panel = find("#uploads");
  const [total, bar, list] = [panel.querySelector("p"), panel.querySelector("progress"), panel.querySelector("ul")];
  const waiting = [];
  let running = 0;
  let batch = newBatch();

  // Counters, names and choices, kept until all uploads are done.
  function newBatch() {
    return { files: 0, done: 0, failed: 0, bytes: 0, sent: new Map(), names: new Map(), saved: [], leftOut: "", choice: null, asking: Promise.resolve() };
  }

  // items: {path, file}, or {path} for a folder; a path is relative to this folder.
  function add(items) {
    const isHidden = (item) => item.path.split("/").some((part) => part.startsWith("."));
    const hidden = items.filter(isHidden).map((item) => item.path);
    const more = hidden.length > 5 ? ` and ${hidden.length - 5} more` : "";
    batch.leftOut = hidden.length ? `Left out, since hidden: ${hidden.slice(0, 5).join(", ")}${more}` : "";
    say(batch.leftOut);
    for (const item of items) {
      if (isHidden(item)) continue;
      if (item.file) {
        batch.files += 1;
        batch.bytes += item.file.size;
      }
      waiting.push(item);
    }
    show();
    while (running < AT_ONCE && waiting.length) work();
  }

  async function work() {
    running += 1;
    while (waiting.length) await handle(waiting.shift());
    running -= 1;
    if (running) return;
    await renew();
    if (!list.children.length) panel.hidden = true;
    const { saved, leftOut } = batch;
    batch = newBatch();
    if (!saved.length) return;
    const names = saved.length > 5 ? `${saved.slice(0, 5).join(", ")} and ${saved.length - 5} more` : saved.join(", ");
    say(`Saved: ${names}. ${leftOut}`.trim(), true);
    mark(new Set(saved.map((path) => path.split("/")[0])));
  }

  async function handle(item) {
    try {
      const slash = item.path.lastIndexOf("/");
      const names = await folder(item.file ? item.path.slice(0, Math.max(slash, 0)) : item.path);
      if (item.file) await upload(item, item.path.slice(0, slash + 1), item.path.slice(slash + 1), names);
    } catch (error) {
      batch.failed += 1;
      failed(item, error.message);
    }
    batch.done += item.file ? 1 : 0;
    show();
  }

  // Make a folder and the folders above it, once; return the names that exist in it.
  function folder(path) {
    if (!batch.names.has(path)) batch.names.set(path, makeFolder(path));
    return batch.names.get(path);
  }

  async function makeFolder(path) {
    if (path) {
      const slash = path.lastIndexOf("/");
      const above = path.slice(0, Math.max(slash, 0));
      const taken = await folder(above);
      const name = path.slice(slash + 1);
      if (!taken.has(name)) {
        const made = await fetch(address(above, true), { method: "POST", body: new URLSearchParams({ folder: name }), headers: { Accept: "text/plain" } });
        if (!made.ok) throw new Error(await reason(made));
      }
    }
    const listing = await fetch(address(path, true), { headers: { Accept: "application/json" } });
    if (!listing.ok) throw new Error(await reason(listing));
    return new Set((await listing.json()).entries.map((entry) => entry.name));
  }

  function address(path, isFolder = false) {
    const quoted = path.split("/").map(encodeURIComponent).join("/");
    return new URL(isFolder && quoted ? `${quoted}/` : quoted, here);
  }

  async function upload(item, above, name, taken) {
    if (limit && item.file.size > limit) throw new Error(`It is larger than ${form.dataset.most}, the most that this server takes.`);
    let replace = false;
    for (;;) {
      if (taken.has(name) && !replace) {
        const choice = await choose(name);
        if (choice !== "replace") await giveUp(item);
        if (choice === "skip") return;
        if (choice === "keep") name = freeName(name, taken);
        replace = choice === "replace";
      }
      taken.add(name);
      const answer = await put(item, address(above + name), replace);
      if (answer.ok) {
        batch.saved.push(above + name);
        return;
      }
      if (answer.status !== 412) throw new Error(answer.text);
    }
  }

  // Ask one question at a time; an answer may be for all further files.
  function choose(name) {
    batch.asking = batch.asking.then(async () => {
      if (batch.choice) return batch.choice;
      const choice = await ask(find("#clash"), `There is a “${name}” already.`) || "skip";
      if (find("#always").checked) batch.choice = choice;
      return choice;
    });
    return batch.asking;
  }

  function freeName(name, taken) {
    const [, stem, suffix] = /^(.+?)((?:\.tar)?\.[^.]*)?$/.exec(name);
    let number = 2;
    while (taken.has(`${stem} (${number})${suffix ?? ""}`)) number += 1;
    return `${stem} (${number})${suffix ?? ""}`;
  }

  async function put(item, url, replace) {
    const transfer = { cancelled: false, abort: () => {} };
    const row = newRow(item.path, "Cancel", () => {
      transfer.cancelled = true;
      transfer.abort();
    });
    transfer.tell = (text) => {
      row.querySelector("em")?.remove();
      if (text) row.append(Object.assign(document.createElement("em"), { textContent: text }));
    };
    transfer.progress = (bytes) => {
      row.querySelector("progress").value = bytes / (item.file.size || 1);
      batch.sent.set(item, Math.min(bytes, item.file.size));
      show();
    };
    try {
      if (item.file.size > PIECE) return await sendInPieces(item, url, replace, transfer);
      return await send("PUT", url, replace ? {} : { "If-None-Match": "*" }, item.file, transfer);
    } finally {
      row.remove();
    }
  }

  class Lost extends Error {}

  // XMLHttpRequest, because fetch does not tell how much has been sent.
  function send(method, url, fields, body, transfer, before = 0) {
    const request = new XMLHttpRequest();
    transfer.abort = () => request.abort();
    return new Promise((answer, fail) => {
      request.upload.onprogress = (event) => transfer.progress(before + event.loaded);
      request.onload = () => {
        const plain = (request.getResponseHeader("Content-Type") ?? "").startsWith("text/plain");
        const text = plain && request.responseText.trim() || `${request.status} ${request.statusText}`;
        answer({ ok: request.status < 300, status: request.status, text, field: (name) => request.getResponseHeader(name) });
      };
      request.onerror = () => fail(new Lost("The connection broke off, or the server cannot be reached."));
      request.onabort = () => fail(new Error("Cancelled."));
      request.open(method, url);
      request.setRequestHeader("Accept", "text/plain");
      for (const [name, value] of Object.entries(fields)) request.setRequestHeader(name, value);
      request.send(body);
    });
  }

  // ---- Large files, by the tus protocol (https://tus.io)

  const KEPT = "wsgiserve upload ";
  const WEEK = 7 * 86400 * 1000; // The server removes uploads that got no bytes for so long.
  const TUS = { "Tus-Resumable": "1.0.0" };

  async function sendInPieces(item, url, replace, transfer) {
    const key = `${KEPT}${url.pathname} ${item.file.size} ${item.file.lastModified}`;
    let offset = null; // Unknown: the server has to be asked.
    let tries = 0;
    item.place ??= recall(key);
    for (;;) {
      let answer;
      try {
        if (transfer.cancelled) throw new Error("Cancelled.");
        if (!item.place) answer = await begin(item, url, replace, transfer);
        else if (offset === null) answer = await send("HEAD", item.place, TUS, null, transfer);
        else answer = await sendPiece(item, offset, replace, transfer);
      } catch (error) {
        if (transfer.cancelled) {
          forget(key);
          await giveUp(item);
        }
        if (!(error instanceof Lost)) throw error;
        answer = { ok: false, status: 503, text: error.message };
      }
      if (answer.ok) {
        offset = Number(answer.field("Upload-Offset"));
        remember(key, item.place);
        transfer.tell("");
        transfer.progress(offset);
        tries = 0;
        if (offset < item.file.size) continue;
        forget(key);
        return answer;
      }
      if (answer.status === 412 && offset === null && item.place && replace) {
        offset = item.file.size; // All is there, but for another condition: an empty piece finishes it.
        continue;
      }
      const gone = answer.status === 404 && item.place;
      const passing = gone || [409, 423, 502, 503, 504].includes(answer.status);
      if (!passing) return answer;
      tries += 1;
      if (tries > MOST_TRIES) throw new Error(answer.text);
      if (gone) {
        forget(key);
        item.place = null;
      }
      offset = null;
      transfer.tell(`${answer.text} Trying again.`);
      await pause(PAUSES[Math.min(tries, PAUSES.length) - 1], transfer);
    }
  }

  async function begin(item, url, replace, transfer) {
    const condition = replace ? {} : { "If-None-Match": "*" };
    const answer = await send("POST", url, { ...TUS, ...condition, "Upload-Length": item.file.size }, null, transfer);
    if (!answer.ok) return answer;
    // A proxy may have removed the beginning of the path that the server sees.
    const token = answer.field("Location").split("/").pop();
    item.place = new URL(`.wsgiserve-uploads/${token}`, topmost).href;
    return { ...answer, field: () => "0" };
  }

  function sendPiece(item, offset, replace, transfer) {
    const fields = { ...TUS, "Upload-Offset": offset, "Content-Type": "application/offset+octet-stream" };
    // A condition that always holds takes the place of that of an upload that was begun to create a file.
    if (replace) fields["If-Unmodified-Since"] = "Fri, 31 Dec 9999 23:59:59 GMT";
    return send("PATCH", item.place, fields, item.file.slice(offset, offset + PIECE), transfer, offset);
  }

  // Remove the part of a file that is on the server already.
  async function giveUp(item) {
    if (!item.place) return;
    try {
      await fetch(item.place, { method: "DELETE", headers: TUS });
    } catch {
      // The server removes it after a time.
    }
    item.place = null;
  }

  // Wait for some seconds, but not longer than until the network is back or the user cancels.
  function pause(seconds, transfer) {
    return new Promise((go) => {
      setTimeout(go, seconds * 1000);
      window.addEventListener("online", go, { once: true });
      transfer.abort = go;
    });
  }

  // The browser keeps where uploads are, for when the page was closed. Some browsers forbid that.
  function recall(key) {
    try {
      return JSON.parse(localStorage.getItem(key))?.place ?? null;
    } catch {
      return null;
    }
  }

  function remember(key, place) {
    try {
      localStorage.setItem(key, JSON.stringify({ place, time: Date.now() }));
    } catch {
      // Then it goes on only while the page is open.
    }
  }

  function forgetOld() {
    try {
      for (const key of Object.keys(localStorage)) {
        if (!key.startsWith(KEPT)) continue;
        if (Date.now() - JSON.parse(localStorage.getItem(key)).time > WEEK) localStorage.removeItem(key);
      }
    } catch {
      // There is nothing to forget.
    }
  }

  function forget(key) {
    try {
      localStorage.removeItem(key);
    } catch {
      // It was not kept.
    }
  }

  function failed(item, text) {
    const row = newRow(item.path, "Again", () => {
      row.remove();
      add([item]);
    });
    row.querySelector("progress").remove();
    row.append(Object.assign(document.createElement("em"), { textContent: text }));
  }

  function newRow(path, button, action) {
    const row = document.createElement("li");
    const name = Object.assign(document.createElement("span"), { dir: "auto", textContent: path });
    const press = Object.assign(document.createElement("button"), { textContent: button, onclick: action });
    row.append(name, Object.assign(document.createElement("progress"), { value: 0 }), press);
    list.append(row);
    return row;
  }

  function show() {
    panel.hidden = false;
    const sent = [...batch.sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    const bytes = (count) => new Intl.NumberFormat("en", { maximumFractionDigits: 1 }).format(count / 1e6);
    const unsaved = batch.failed ? `, ${batch.failed} failed` : "";
    total.textContent = `${batch.done} of ${batch.files} ${batch.files === 1 ? "file" : "files"}${unsaved}, ${bytes(sent)} of ${bytes(batch.bytes)} MB`;
    bar.value = batch.bytes ? sent / batch.bytes : 1;
  }

  forgetOld();

  // Files come from the two choosers, or are dropped anywhere on the page.
  for (const input of form.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      add([...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
      input.value = "";
    });
  }
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.documentElement.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.documentElement.classList.remove("dropping");
  });
  document.addEventListener("drop", async (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    document.documentElement.classList.remove("dropping");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
    add((await Promise.all(entries.map((entry) => contents(entry, "")))).flat());
  });
  window.addEventListener("beforeunload", (event) => {
    if (running) event.preventDefault();
  });
}

// All files and folders in a dropped file or folder.
async function contents(entry, above) {
  const path = above + entry.name;
  if (entry.isFile) {
    return [{ path, file: await new Promise((found, fail) => entry.file(found, fail)) }];
  }
  const found = [{ path }];
  const reader = entry.createReader();
  for (;;) { // readEntries returns some entries at a time, and none at the end.
    const some = await new Promise((read, fail) => reader.readEntries(read, fail));
    if (!some.length) return found;
    for (const each of some) found.push(...await contents(each, `${path}/`));
  }
}
