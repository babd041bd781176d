"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const index = JSON.parse(byId("index").textContent);
  const form = byId("filter");
  const table = document.querySelector("table.matrix");
  const rows = [...table.tBodies[0].rows].map((row) => ({
    row,
    name: row.cells[0].textContent.toLowerCase(),
    runs: [...row.querySelectorAll(".run")],
  }));
  const fields = ["text", "arm", "ending", "seed", "code", "by", "fallback"];
  document.querySelectorAll(".script:not(#run)").forEach((part) => { part.hidden = false; });

  // Blocks are opened when they are needed, and the latest ones kept.
  const open = new Map();
  const unpack = (id) => {
    const known = open.get(id);
    open.delete(id);
    const block = known ?? (async () => {
      const bytes = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      return JSON.parse(await new Response(stream).text());
    })();
    open.set(id, block);
    if (open.size > 48) open.delete(open.keys().next().value);
    return block;
  };
  const entry = async (kind, number) => {
    const firsts = index[kind];
    let low = 0;
    let high = firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (firsts[middle] <= number) low = middle; else high = middle - 1;
    }
    return (await unpack(`${kind}-${low}`))[number - firsts[low]];
  };
  const text = async (numbers) => {
    const pieces = [];
    for (const number of numbers ?? []) pieces.push(await entry("texts", number));
    return pieces.join("");
  };

  const make = (name, attributes, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes ?? {})) element.setAttribute(key, value);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  };

  // The filter.
  const values = () => Object.fromEntries(fields.map((name) => [name, form.elements[name]?.value.trim() ?? ""]));
  const fits = (run, wanted) => (
    (!wanted.arm || run.dataset.arm === wanted.arm)
    && (!wanted.ending || run.dataset.ending === wanted.ending)
    && (!wanted.seed || run.dataset.seed === wanted.seed)
    && (!wanted.fallback || run.dataset.fallback === wanted.fallback)
    && (!wanted.by || Number(run.dataset.at) <= Number(wanted.by))
    && (!wanted.code || (run.dataset.codes ?? "").split(" ").includes(wanted.code))
  );
  const wasOff = [...table.tHead.rows[0].cells].map(() => false);
  const filter = () => {
    const wanted = values();
    const needle = wanted.text.toLowerCase();
    const chooses = fields.some((name) => name !== "text" && wanted[name]);
    let shown = 0;
    let hits = 0;
    for (const { row, name, runs } of rows) {
      const found = name.includes(needle) ? runs.filter((run) => fits(run, wanted)) : [];
      row.hidden = found.length === 0;
      if (!row.hidden) shown += 1;
      hits += found.length;
      for (const run of runs) run.classList.toggle("hit", chooses && found.includes(run));
    }
    table.classList.toggle("filtered", chooses);
    // On a phone the other arms make room.
    for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
      const off = column > 0 && wanted.arm !== "" && head.textContent !== wanted.arm;
      if (head.classList.toggle("off", off) !== wasOff[column]) {
        wasOff[column] = off;
        for (const { row } of rows) row.cells[column].classList.toggle("off", off);
      }
    }
    const by = (wanted.by ? `, resolved by attempt ${wanted.by}` : "") + (wanted.fallback ? ", resolved by the fallback model" : "");
    byId("count").textContent = `${hits} runs of ${shown} instances, of ${rows.length} in all${by}`;
    return wanted;
  };
  const remember = (wanted) => {
    const set = fields.filter((name) => wanted[name]).map((name) => `${name}=${encodeURIComponent(wanted[name])}`);
    history.replaceState(null, "", set.length ? `#matrix?${set.join("&")}` : "#matrix");
  };
  const apply = (query) => {
    const wanted = new URLSearchParams(query);
    for (const name of fields) {
      if (form.elements[name]) form.elements[name].value = wanted.get(name) ?? "";
    }
    filter();
    byId("matrix").scrollIntoView();
    byId("matrix").focus({ preventScroll: true });
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  // What only a link can ask for ends with the next choice.
  const choose = () => {
    form.elements.by.value = "";
    form.elements.fallback.value = "";
    remember(filter());
  };
  form.addEventListener("input", choose);
  form.addEventListener("reset", () => setTimeout(choose));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-filter]");
    if (!link) return;
    event.preventDefault();
    history.pushState(null, "", `#matrix?${link.dataset.filter}`);
    apply(link.dataset.filter);
  });

  // A run.
  const block = (title, numbers, kind) => {
    if (!numbers || numbers.length === 0) return null;
    const details = make("details", {}, make("summary", {}, title));
    details.addEventListener("toggle", async () => {
      if (details.childElementCount > 1) return;
      const shown = make("pre", { tabindex: "0", "aria-label": title });
      details.append(shown);
      const content = await text(numbers);
      if (kind !== "diff") {
        shown.textContent = content;
        return;
      }
      shown.className = "diff";
      for (const line of content.replace(/\n$/, "").split("\n")) {
        const sort = /^(\+\+\+|---|@@|diff )/.test(line) ? "hunk" : { "+": "add", "-": "del" }[line[0]] ?? "";
        shown.append(make("span", { class: sort }, line || " "));
      }
    });
    if (kind === "diff" || kind === "open") details.open = true;
    return details;
  };
  const facts = (pairs) => make("dl", { class: "facts" }, ...pairs.filter(([, value]) => value).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  const tests = (found) => [
    make("p", {}, `${found.green ? "✓ green" : "✗ red"}: ${found.counts[0]} passed, ${found.counts[1]} failed`
      + (found.codes.length ? ` (${found.codes.join(", ")})` : "")),
    block("still failing", found.still, "open"),
    block("newly failing", found.newly, "open"),
    block("failed tests", found.failed),
    block("passed tests", found.passed),
  ];
  const attempt = (one) => {
    const verdict = one.refusal ? `refused ${one.refusal}` : one.tests ? (one.tests.green ? "tests green" : "tests red")
      : one.applied ? "applied" : "cut off";
    const tokens = one.tokens.map((count) => count ?? "?").join(" + ");
    return make("article", { class: "attempt", "aria-label": `Attempt ${one.number}` },
      make("h3", {}, `Attempt ${one.number}: ${verdict}`),
      one.summary ? make("p", {}, one.summary) : null,
      facts([
        ["model", one.model + (one.fallback ? " (fallback)" : "")],
        ["tokens", `${tokens} (prompt + reply), stop: ${one.stop || "?"}`],
        ["codes", one.codes.join(", ")],
        ["seconds", one.seconds && `${one.seconds[0]} model, ${one.seconds[1]} tests (observed)`],
      ]),
      block("what the prompt told of the failure before", one.told),
      ...(one.prompt ?? []).map(([role, numbers]) => block(`prompt: ${role}`, numbers)),
      block("reply", one.reply),
      block("reasoning", one.reasoning),
      block("edits as a diff", one.patch, "diff"),
      block("what the refusal shows", one.excerpt, "open"),
      ...(one.tests ? tests(one.tests) : []),
      make("details", {}, make("summary", {}, "digests (canonical)"),
        facts(Object.entries(one.digests).map(([name, digest]) => [name, make("code", {}, digest)]))));
  };
  const siblings = (link) => {
    const links = [...link.closest("tr").querySelectorAll("a.run")];
    return make("p", { class: "steps" }, make("a", { href: "#matrix" }, "back to all runs"), ...links.map((other) => make("a", {
      href: other.getAttribute("href"), ...(other === link ? { "aria-current": "true" } : {}),
    }, `${other.dataset.arm} ${other.dataset.seed}${other === link ? " (this run)" : ""}`)));
  };
  const show = async (id) => {
    const link = table.querySelector(`a[href="#run-${id}"]`);
    const section = byId("run");
    if (!link) return;
    const run = await entry("runs", Number(link.dataset.doc));
    byId("h-run").textContent = `${run.instance}, ${run.arm}, seed ${run.seed}: ${run.ending}`;
    byId("run-body").replaceChildren(
      siblings(link),
      facts([
        ["outcome", (run.outcome || run.ending) + (run.fallback ? ", by the fallback model" : "")],
        ["why", run.reason],
        ["figures", run.tests],
        ["models", run.models.join(", ")],
        ["attempts", `${run.attempts.length} of ${run.allowed}`],
        ["canonical root", run.root && make("code", {}, run.root)],
        ["seconds", run.seconds && `${run.seconds} (observed)`],
        ["in the store", make("code", {}, `runproof show ${run.run}`)],
      ]),
      run.bare ? make("p", {}, "The texts of this run are left out, so that the file stays small: runproof report --full has them.") : "",
      ...run.attempts.map(attempt),
      ...(run.grade ? [make("h3", {}, "Hidden tests"), ...tests(run.grade).filter(Boolean)] : []),
    );
    section.hidden = false;
    section.scrollIntoView();
    byId("h-run").focus({ preventScroll: true });
  };
  const go = () => {
    const { hash } = location;
    if (/^#run-[0-9a-f]+$/.test(hash)) show(hash.slice(5));
    else if (hash.startsWith("#matrix?")) apply(hash.slice(8));
  };
  addEventListener("hashchange", go);
  filter();
  go();
})();
