// Opens a page from a file in a headless Chromium, as tests and pictures need it, and says as JSON what was seen.
//   node scripts/browser.cjs PAGE.html [SCREENSHOT.png WIDTH|WIDTHxHEIGHT light|dark|print]...
// A picture of a WIDTH alone is as high as the page.
// It needs @sparticuz/chromium and playwright-core, found by NODE_PATH.
const { pathToFileURL } = require("node:url");
const sparticuz = require("@sparticuz/chromium");
const { chromium } = require("playwright-core");

async function look([page_file, ...wanted]) {
  const packed = sparticuz.default || sparticuz;
  const browser = await chromium.launch({ executablePath: await packed.executablePath(), args: packed.args });
  try {
    const page = await browser.newPage();
    const address = pathToFileURL(page_file).href;
    const seen = { console: [], requests: [] };
    page.on("console", (message) => seen.console.push(message.text()));
    page.on("pageerror", (error) => seen.console.push(String(error)));
    page.on("request", (request) => request.url() === address || seen.requests.push(request.url()));
    for (const [width, height] of [[360, 740], [1280, 900]]) {
      await page.setViewportSize({ width, height });
      await page.goto(address, { waitUntil: "load" });
      // Wider than the window: a phone would have to be scrolled sideways.
      seen[`overflow_${width}`] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    }
    seen.title = await page.title();
    seen.scripts = await page.evaluate(() => document.scripts.length);
    seen.text = await page.evaluate(() => document.body.innerText);
    // Of each chart the size of its marks on the screen, in pixels, without the grid.
    seen.charts = await page.evaluate(() =>
      [...document.querySelectorAll("figure.chart")].map((figure) => ({
        title: figure.querySelector("figcaption b").textContent,
        label: figure.querySelector("svg title").textContent,
        rows: figure.querySelectorAll("details tbody tr").length,
        marks: [...figure.querySelectorAll(".plot svg path:not(.grid)")].map((path) => {
          const box = path.getBoundingClientRect();
          return { length: path.getTotalLength(), width: box.width, height: box.height, seen: getComputedStyle(path).stroke + getComputedStyle(path).fill };
        }),
      })));
    // What the key Tab reaches, in order.
    seen.reached = [];
    await page.evaluate(() => document.body.focus());
    for (let press = 0; press < 80; press++) {
      await page.keyboard.press("Tab");
      const name = await page.evaluate(() => document.activeElement === document.body ? "" : document.activeElement.tagName + " " + (document.activeElement.textContent || "").trim().slice(0, 40));
      if (!name) break;
      seen.reached.push(name);
    }
    for (let at = 0; at + 2 < wanted.length; at += 3) {
      const [file, width, look] = wanted.slice(at, at + 3);
      const [wide, high] = width.split("x").map(Number);
      await page.setViewportSize({ width: wide, height: high || 900 });
      await page.emulateMedia({ colorScheme: look === "dark" ? "dark" : "light", media: look === "print" ? "print" : "screen" });
      await page.goto(address, { waitUntil: "load" });
      await page.screenshot({ path: file, fullPage: !high });
    }
    return seen;
  } finally {
    await browser.close();
  }
}

look(process.argv.slice(2)).then(
  (seen) => console.log(JSON.stringify(seen)),
  (error) => { console.error(String(error).slice(0, 2000)); process.exit(1); },
);
