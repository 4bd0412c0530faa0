// Makes the picture of a report that docs/reference.md shows: the top of the page in both themes, side by side.
//   node scripts/report-screenshot.mjs RESULT.json   (what espora contest --json wrote) → docs/report.png

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { at } from './lib/project.mjs';
import { Failure, runScript } from './lib/run.mjs';

const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const view = { width: 980, height: 1180 };
const bytesMax = 400_000;

await runScript(async () => {
  const [result] = process.argv.slice(2);
  if (result === undefined)
    throw new Failure('Say which result to show: a file that --json wrote.');
  const executablePath = browsers.find((path) => existsSync(path));
  if (executablePath === undefined)
    throw new Failure('There is no chromium; on Debian: apt-get install chromium.');
  const { htmlReport } = await import('../dist/contest/html/html-report.js');
  const folder = mkdtempSync(join(tmpdir(), 'espora-screenshot-'));
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  try {
    const file = join(folder, 'report.html');
    writeFileSync(file, htmlReport(JSON.parse(readFileSync(result, 'utf8'))));
    const shots = [];
    for (const colorScheme of ['light', 'dark']) {
      const page = await browser.newPage({ viewport: view, colorScheme, locale: 'en-US' });
      await page.goto(pathToFileURL(file).href);
      shots.push((await page.screenshot()).toString('base64'));
      await page.close();
    }
    const page = await browser.newPage({
      viewport: { width: 2 * view.width, height: view.height },
    });
    const images = shots.map((data) => `<img src="data:image/png;base64,${data}">`);
    await page.setContent(`<style>body{margin:0;display:flex}</style>${images.join('')}`);
    const picture = await page.screenshot();
    if (picture.length > bytesMax) throw new Failure(`The picture has ${picture.length} bytes.`);
    mkdirSync(at('docs'), { recursive: true });
    writeFileSync(at('docs/report.png'), picture);
  } finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
