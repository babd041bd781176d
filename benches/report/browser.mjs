// Opens a report in a real headless Chromium: screenshots, keyboard, filter, console, network, print, axe, load time.
// See README.md. Usage: node browser.mjs REPORT.html OUT_FOLDER [MOST_MILLISECONDS]
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [, , reportPath, out, most = "2000"] = process.argv;
if (!reportPath || !out) throw new Error("usage: node browser.mjs REPORT.html OUT_FOLDER [MOST_MILLISECONDS]");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const require = createRequire(join(process.cwd(), "package.json"));
const load = (name) => {
  try { return require.resolve(name); } catch { return null; }
};
if (!existsSync(executablePath) || !load("playwright-core")) {
  console.error(`SKIPPED: nothing was checked. It takes Chromium (CHROMIUM=${executablePath}) and \`npm install playwright-core\``);
  process.exit(4);
}
const { chromium } = require("playwright-core");
mkdirSync(out, { recursive: true });

const failures = [];
const check = (holds, what) => {
  console.log(`${holds ? "ok  " : "FAIL"} ${what}`);
  if (!holds) failures.push(what);
};
const profile = mkdtempSync(join(tmpdir(), "report-browser-"));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const url = pathToFileURL(resolve(reportPath)).href;

const newPage = async (options = {}) => {
  const page = await context.newPage();
  const seen = { console: [], requests: [] };
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) seen.console.push(message.text()); });
  page.on("pageerror", (error) => seen.console.push(String(error)));
  page.on("request", (request) => { if (request.url().split("#")[0] !== url) seen.requests.push(request.url()); });
  page.on("dialog", (dialog) => { seen.console.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  await page.setViewportSize(options.viewport ?? { width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: options.colorScheme ?? "light", reducedMotion: "reduce" });
  return [page, seen];
};
const quiet = (seen, where) => {
  check(seen.console.length === 0, `${where}: no console error ${seen.console.slice(0, 3).join(" | ")}`);
  check(seen.requests.length === 0, `${where}: no request ${seen.requests.slice(0, 3).join(" ")}`);
};

try {
  // Load time, three times, the slowest counts: until the page is interactive, filtered and painted.
  const times = [];
  for (let round = 0; round < 3; round += 1) {
    const [page, seen] = await newPage();
    const began = performance.now();
    await page.goto(url, { waitUntil: "load" });
    await page.waitForFunction(() => document.getElementById("count").textContent !== "");
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    times.push(Math.round(performance.now() - began));
    quiet(seen, `load ${round + 1}`);
    await page.close();
  }
  const size = statSync(reportPath).size;
  console.log(`     size ${size} bytes, loads in ${times.join(", ")} ms`);
  check(Math.max(...times) < Number(most), `opens in under ${most} ms`);

  for (const [name, viewport] of [["desktop", { width: 1280, height: 900 }], ["phone", { width: 390, height: 844 }]]) {
    for (const colorScheme of ["light", "dark"]) {
      const [page, seen] = await newPage({ viewport, colorScheme });
      await page.goto(url);
      await page.screenshot({ path: join(out, `${name}-${colorScheme}-top.png`) });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      check(overflow <= 0, `${name} ${colorScheme}: nothing is wider than the page (${overflow})`);
      const height = await page.evaluate(() => document.documentElement.scrollHeight);
      if (height < 15000) await page.screenshot({ path: join(out, `${name}-${colorScheme}-whole.png`), fullPage: true });
      await page.locator("#matrix").scrollIntoViewIfNeeded();
      await page.evaluate(() => document.getElementById("matrix").scrollIntoView());
      await page.screenshot({ path: join(out, `${name}-${colorScheme}-matrix.png`) });
      await page.locator("a.run").first().click();
      await page.waitForSelector("#run article, #run h3");
      await page.locator("#run summary").first().click();
      await page.screenshot({ path: join(out, `${name}-${colorScheme}-run.png`) });
      quiet(seen, `${name} ${colorScheme}`);
      await page.close();
    }
  }

  // Only the keyboard: skip link, a number, the filter, a run, its prompt, and back.
  const [page, seen] = await newPage();
  await page.goto(url);
  const focused = () => page.evaluate(() => document.activeElement.textContent.trim().slice(0, 60) || document.activeElement.id);
  await page.keyboard.press("Tab");
  check((await focused()) === "to the content", "the first tab stop skips to the content");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
  check(parseFloat(outline) >= 2, `focus is visible (${outline})`);
  await page.keyboard.press("Enter");
  let steps = 0;
  const tabTo = async (test, limit = 200) => {
    for (steps = 0; steps < limit; steps += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(test)) return true;
    }
    return false;
  };
  check(await tabTo(() => document.activeElement.matches("a[data-filter*='ending=resolved']")), "a number is reached by tab");
  const number = await focused();
  await page.keyboard.press("Enter");
  const count = () => page.locator("#count").textContent();
  const expected = number.match(/^\d+/)[0];
  check((await count()).startsWith(`${expected} runs`), `the number ${number} leads to its runs: ${await count()}`);
  check((await page.locator(".run.hit").count()) === Number(expected), "as many runs are marked");
  check(page.url().includes("#matrix?"), "the filter stands in the address");
  await page.evaluate(() => document.querySelector("#filter [name=text]").focus());
  await page.keyboard.type("zzzz-nothing");
  check((await count()).startsWith("0 runs of 0 instances"), `text filter: ${await count()}`);
  await page.locator("#filter button[type=reset]").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !document.querySelector(".run.hit"));
  const all = await page.locator("table.matrix tbody tr").count();
  check((await page.locator("table.matrix tbody tr:visible").count()) === all, `all ${all} rows again after reset`);
  const first = await page.locator("table.matrix tbody th").first().textContent();
  await page.locator("#filter [name=text]").focus();
  await page.keyboard.type(first.slice(0, 8));
  check((await page.locator("table.matrix tbody tr:visible").count()) >= 1, "an instance is found by its beginning");
  check(await tabTo(() => document.activeElement.matches("a.run")), "a run is reached by tab from the filter");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.activeElement.id === "h-run");
  check(true, `a run opens by Enter and has the focus: ${await focused()}`);
  check(await tabTo(() => document.activeElement.matches("#run summary")), "its prompt is reached by tab");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelector("#run details[open] pre")?.textContent.length > 0);
  check(true, "its texts open by Enter");
  await page.locator("#filter [name=text]").fill("");
  for (const option of await page.locator("#filter [name=ending] option").all()) {
    const value = await option.getAttribute("value");
    await page.locator("#filter [name=ending]").selectOption(value);
    const shown = await page.locator("table.matrix tbody tr:visible").count();
    check(shown > 0, `outcome ${value || "all"}: ${await count()}`);
  }
  quiet(seen, "keyboard");

  // Every deep link works, and a wrong one does no harm.
  for (const hash of ["#run-000000000000000000000000", "#matrix?arm=%", "#%E0%A4%A", "#matrix?ending=resolved&by=1"]) {
    const [other, heard] = await newPage();
    await other.goto(url + hash);
    await other.waitForFunction(() => document.getElementById("count").textContent !== "");
    quiet(heard, `address ${hash}`);
    await other.close();
  }

  await page.pdf({ path: join(out, "report.pdf"), format: "A4" });
  check(statSync(join(out, "report.pdf")).size > 1000, "it prints");

  const axe = load("axe-core");
  if (axe) {
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      await page.evaluate(() => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
      // Through the debugger, as the page's own policy forbids it.
      const session = await context.newCDPSession(page);
      await session.send("Runtime.evaluate", { expression: readFileSync(axe, "utf8") });
      const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      writeFileSync(join(out, `axe-${colorScheme}.json`), JSON.stringify(found.violations, null, 1));
      const told = found.violations.map((one) => `${one.id} (${one.nodes.length}): ${one.nodes[0].target}`);
      check(found.violations.length === 0, `axe-core ${found.testEngine.version}, ${colorScheme}: ${told.join(" | ") || "no violation"}`);
    }
  } else {
    console.log("SKIPPED axe: `npm install axe-core`");
  }
  await page.close();

  // Without JavaScript the tables stand there.
  const bare = await chromium.launch({ executablePath, headless: true, args: ["--no-sandbox", "--disable-gpu"] });
  const off = await (await bare.newContext({ javaScriptEnabled: false })).newPage();
  await off.goto(url);
  check(await off.locator("table.matrix tbody tr").first().isVisible(), "without a script the matrix stands there");
  check(!(await off.locator("#filter").isVisible()), "without a script there is no dead filter");
  await bare.close();
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(failures.length ? `${failures.length} checks failed` : "all checks passed");
process.exit(failures.length ? 1 : 0);
