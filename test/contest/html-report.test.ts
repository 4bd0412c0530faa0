// The report as a file, and in a real browser: every plot is drawn, at the width of a phone and of a
// desk, light and dark, in both languages, and nothing is asked of the network.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import type { ExecutionContext } from 'ava';
import { chromium } from 'playwright-core';
import type { Browser, Page } from 'playwright-core';
import { linearTicks, logTicks } from '#espora/contest/html/chart.js';
import { htmlReport } from '#espora/contest/html/html-report.js';
import { escape, markup, number, say } from '#espora/contest/html/text.js';
import { version } from '#espora/version.js';
import type { ContestResult } from '#espora/contest/result.js';
import { temporaryDirectory } from '../helpers/temporary-directory.js';
import { playOn, short } from './plans.js';
import { referenceServer } from './reference-server.js';

test('text is escaped, numbers are written as each language does', (t) => {
  t.is<string, string>(markup`<b>${escape('<&">')}</b>`, '<b>&lt;&amp;&quot;&gt;</b>');
  t.is<string, string>(number(12), '12');
  t.regex(number(1234.5, 1), /class="en"[^>]*>1,234\.5<.*class="pt"[^>]*>1\.234,5</s);
  t.is<string, string>(say('ok', 'ok'), 'ok');
});

test('axes end on round values that hold everything', (t) => {
  t.deepEqual(linearTicks(340), [0, 100, 200, 300, 400]);
  t.deepEqual(linearTicks(0), [0, 1]);
  for (const most of [0.3, 1, 7, 99, 100, 101, 12_345]) t.true(linearTicks(most).at(-1)! >= most);
  t.deepEqual(logTicks(0.4, 30), [0.1, 1, 10, 100]);
  t.deepEqual(logTicks(0, 0).length, 2);
});

/** The page without what is the same in every report. */
const contentOf = (page: string): string => page.replaceAll(/<(style|script)>.*?<\/\1>/gs, '');

const stepOf = (rate: number, p99Ms: number, held: boolean) => ({
  rate,
  p99Ms,
  held,
  answered: 400,
  errors: 0,
  waiting: 0,
  p50Ms: 0.5,
  maxMs: 9,
  generatorCpuPercent: 4,
});

/** A run that has everything a report can show: figures of a real one, services as they would be. */
async function wholeResult(t: ExecutionContext): Promise<ContestResult> {
  const result = await playOn((await referenceServer(t)).port, short);
  const limits = { cpus: 0.2, memoryMegabytes: 100 };
  const names = ['database', 'api 1', 'api 2', 'balancer'];
  const seconds = 30;
  const timeline = Array.from({ length: seconds }, (_, second) => ({
    atMs: (second + 1) * 1000,
    phase: 'load',
    requests: 10 * second,
    failures: 0,
    latencyMs: { p50: 0.4 + second / 100, p99: 1 + second / 10, max: 5 + second },
    samples: {
      commits: { commits: second, meanMs: 0.3, batchMean: 1.2 },
      ...Object.fromEntries(
        names.map((name) => [
          name,
          { cpuPercentOfLimit: 30, memoryBytes: 3e7, periods: 10, throttledPeriods: second % 2 },
        ]),
      ),
    },
  }));
  const used = {
    limits,
    cpuSeconds: 2,
    cpuPercentOfLimit: 30,
    cpuPercentOfLimitMax: 45,
    periods: 300,
    throttledPeriods: 15,
    throttledPercent: 5,
    memoryPeakBytes: 3e7,
    memoryPercentOfLimit: 28.6,
  };
  const { audit } = result;
  return {
    ...result,
    durationMs: seconds * 1000,
    timeline,
    underLimits: {
      title: 'docker/relay.yml',
      limitsBy: 'containers',
      services: names.map((name) => ({ name, ...used })),
      commits: {
        commits: 500,
        flushes: 500,
        transactions: 600,
        bytesWritten: 1,
        meanMs: 0.3,
        batchMean: 1.2,
      },
      afterKill: { backAfterMs: 700, audit },
    },
    saturation: {
      connections: 'one per request',
      lateMs: 10,
      secondsPerStep: 1,
      heldRate: 400,
      steps: [stepOf(400, 2, true), stepOf(800, 40, false)],
    },
  };
}

test('the file needs nothing else, and says what happened', async (t) => {
  const page = htmlReport(await wholeResult(t));
  t.notRegex(page, /(?:src|href)=|@import|url\(|https?:\/\/(?!127)/);
  t.regex(page, /docker\/relay\.yml/);
  t.regex(page, /SIGKILL/);
  t.notRegex(contentOf(page), /NaN|undefined|Infinity/);
});

test('one request is one, and only the whole test has the prize of the contest', async (t) => {
  const result = await wholeResult(t);
  const [phase] = result.phases;
  const one = htmlReport({ ...result, phases: [{ ...phase!, requests: 1 }] });
  t.regex(one, />request</);
  t.regex(one, />requisição</);
  t.regex(htmlReport({ ...result, plan: 'quick' }), /not the whole test/);
  t.notRegex(htmlReport({ ...result, plan: 'full' }), /not the whole test/);
});

/** What a page shows in one language, without its machine, addresses and what a script reads. */
function shown(page: string, language: 'en' | 'pt'): string {
  const other = language === 'en' ? 'pt' : 'en';
  return contentOf(page)
    .replace(/<p class="note meta">.*?<\/p>/gs, '')
    .replaceAll(/<code>.*?<\/code>/gs, '')
    .replaceAll(new RegExp(`<span class="${other}"[^>]*>.*?</span\\s*>`, 'gs'), '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ');
}

test('Portuguese has decimal commas everywhere, English points', async (t) => {
  const result = await wholeResult(t);
  const [step] = result.saturation!.steps;
  const steps = [
    { ...step!, rate: 1250, p99Ms: 0.31, p50Ms: 0.05 },
    { ...step!, rate: 12_500, p99Ms: 1.5 },
  ];
  const page = htmlReport({ ...result, saturation: { ...result.saturation!, lateMs: 2.5, steps } });
  for (const [language, wrong, right] of [
    ['pt', /\d\.\d(?!\d\d)/, ['0,1', '2,5 ms', '1,25k', '99,9', '0,20']],
    ['en', /\d,\d(?!\d\d)/, ['0.1', '2.5 ms', '1.25k', '99.9', '0.20']],
  ] as const) {
    const text = shown(page, language);
    t.is(wrong.exec(text), null, language);
    for (const one of right) t.true(text.includes(one), `${language}: ${one}`);
  }
  // And what the script shows under the pointer.
  const [, points] = /id="chart-saturation".*?data-points="([^"]+)"/s.exec(page)!;
  const { en, pt } = JSON.parse(points!.replaceAll('&quot;', '"')) as Record<
    string,
    { x: string[] }
  >;
  t.deepEqual([en!.x[0], pt!.x[0]], ['1.25k/s', '1,25k/s']);
});

test('machine, commit and version stand at the top', async (t) => {
  const result = await wholeResult(t);
  const { surroundings } = result;
  const [, top] = /<header>(.*?)<\/header>/s.exec(htmlReport(result))!;
  t.true(top!.includes(`espora ${version}`));
  t.true(top!.includes(surroundings.kernel));
  t.true(top!.includes(escape(surroundings.cpu)));
  const of = (more: object): string =>
    htmlReport({ ...result, surroundings: { ...surroundings, cpus: 3, ...more } });
  t.regex(
    of({ commit: '0123456789ab', modified: true }),
    /commit 0123456789ab<span class="en".*com alter/s,
  );
  t.notRegex(of({ commit: undefined, modified: false }), /commit /);
  t.regex(
    of({ cpu: '<CPU>', hypervisor: true }),
    /3 × &lt;CPU&gt; \(virtual\)|&lt;CPU&gt;.*virtual/,
  );
});

test('a table of latencies has its failures where a narrow screen shows them', async (t) => {
  const page = htmlReport(await wholeResult(t));
  t.true(page.indexOf('>falhas</span') < page.indexOf('>p50<'));
  t.regex(page, />p99,9</);
});

test('a bad run: what failed is shown, and nothing in it becomes markup', async (t) => {
  const { port } = await referenceServer(t, {
    answer: ({ client }) =>
      client === 6 ? { status: 200, json: { '<script>alert(1)</script>': 1 } } : undefined,
  });
  const page = htmlReport(await playOn(port, short));
  t.regex(page, /class="mark bad"/);
  t.regex(page, /instead of 404/);
  t.false(page.includes('<script>alert'));
});

test('a run that was stopped at once still makes a page', async (t) => {
  const result = await playOn((await referenceServer(t)).port, short, {
    signal: AbortSignal.abort(),
  });
  const page = htmlReport(result);
  t.regex(page, /no prize/);
  t.notRegex(contentOf(page), /NaN|undefined|Infinity/);
});

// --- In a browser ---------------------------------------------------------------------------------

const executablePath = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
].find((path) => existsSync(path));
if (executablePath === undefined) {
  process.stderr.write('contest/html-report: skipped in part: there is no chromium here\n');
}
const inBrowser = executablePath === undefined ? test.serial.skip : test.serial;

async function launch(t: ExecutionContext): Promise<Browser> {
  const browser = await chromium.launch({
    executablePath: executablePath!,
    args: ['--no-sandbox', '--disable-gpu'],
    timeout: 60_000,
  });
  t.teardown(() => browser.close());
  return browser;
}

/** Colour of the paper as the browser computed it. */
const paper = (page: Page): Promise<string> =>
  page.evaluate('getComputedStyle(document.body).backgroundColor');

/** Each plot: its id, whether it is on the page, and what its lines cover, in pixels. */
const plotsOf = (
  page: Page,
): Promise<{ id: string; lines: { width: number; height: number }[] }[]> =>
  page.evaluate(`[...document.querySelectorAll('figure.chart')].map((figure) => ({
    id: figure.id,
    lines: [...figure.querySelectorAll('path.line')].map((line) => {
      const { width, height } = line.getBoundingClientRect();
      return { width, height };
    }),
  }))`);

const charts = [
  'chart-latency',
  'chart-requests',
  'chart-service-0',
  'chart-service-1',
  'chart-service-2',
  'chart-service-3',
  'chart-flush',
  'chart-batch',
  'chart-saturation',
];

inBrowser('every plot is drawn on a phone and on a desk, light and dark', async (t) => {
  const file = join(temporaryDirectory(t), 'report.html');
  const large = { requests: 61_502, plannedRequests: 61_503 };
  writeFileSync(file, htmlReport({ ...(await wholeResult(t)), ...large }));
  const browser = await launch(t);
  // Kept for whoever wants to look.
  const kept = '.build/screenshots';
  mkdirSync(kept, { recursive: true });
  for (const [name, width, height] of [
    ['phone', 390, 844],
    ['desk', 1200, 900],
  ] as const) {
    for (const colorScheme of ['light', 'dark'] as const) {
      const label = `${name} ${colorScheme}`;
      const context = await browser.newContext({ viewport: { width, height }, colorScheme });
      const page = await context.newPage();
      const problems: string[] = [];
      page.on('pageerror', (error) => problems.push(error.message));
      page.on('request', (request) => {
        if (!request.url().startsWith('file:')) problems.push(request.url());
      });
      await page.goto(pathToFileURL(file).href);
      const plots = await plotsOf(page);
      t.deepEqual(plots.map(({ id }) => id).sort(), [...charts].sort(), label);
      for (const { id, lines } of plots) {
        t.true(lines.length > 0, `${label} ${id}`);
        for (const line of lines) t.true(line.width > width / 5, `${label} ${id}: ${line.width}`);
      }
      const latency = plots.find(({ id }) => id === 'chart-latency')!;
      t.true(
        latency.lines.some((line) => line.height > 20),
        `${label}: lines rise`,
      );
      const overflow: number = await page.evaluate('document.documentElement.scrollWidth');
      t.true(overflow <= width, `${label}: nothing sticks out (${overflow})`);
      const cut: string[] = await page.evaluate(
        `[...document.querySelectorAll('.facts div')].filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.innerText)`,
      );
      t.deepEqual(cut, [], `${label}: no fact is cut`);
      const dark = /rgb\((\d+)/.exec(await paper(page))![1]!;
      t.is(Number(dark) < 128, colorScheme === 'dark', label);
      await page.screenshot({ path: join(kept, `${name}-${colorScheme}.png`), fullPage: true });
      t.deepEqual(problems, [], label);
      await context.close();
    }
  }
});

inBrowser('languages and themes switch, and a pointer reads values off a plot', async (t) => {
  const file = join(temporaryDirectory(t), 'report.html');
  writeFileSync(file, htmlReport(await wholeResult(t)));
  const browser = await launch(t);
  const page = await browser.newPage({ locale: 'pt-BR', viewport: { width: 900, height: 900 } });
  await page.goto(pathToFileURL(file).href);
  t.is(await page.locator('section#latency h2').innerText(), 'Latência');
  await page.getByRole('button', { name: 'English' }).click();
  t.is(await page.locator('section#latency h2').innerText(), 'Latency');
  t.is(await page.locator('html').getAttribute('lang'), 'en');
  const before = await paper(page);
  await page.locator('button[data-theme]').click();
  t.not(await paper(page), before);
  const plot = page.locator('#chart-latency .plot');
  t.false(await plot.locator('.reading').isVisible());
  await plot.hover();
  const reading = (): Promise<string> => plot.locator('.reading').innerText();
  t.regex(await reading(), /^\d+:\d\d +max [\d.]+ · p99 [\d.]+ · p50 [\d.]+ ms$/);
  await page.getByRole('button', { name: 'Português' }).click();
  await plot.hover();
  t.regex(await reading(), /^\d+:\d\d +máx [\d,]+ · p99 [\d,]+ · p50 [\d,]+ ms$/);
});

inBrowser('on paper it is light and holds everything', async (t) => {
  const file = join(temporaryDirectory(t), 'report.html');
  writeFileSync(file, htmlReport(await wholeResult(t)));
  const browser = await launch(t);
  const page = await browser.newPage({ colorScheme: 'dark' });
  await page.goto(pathToFileURL(file).href);
  await page.emulateMedia({ media: 'print' });
  t.true(Number(/rgb\((\d+)/.exec(await paper(page))![1]!) > 128);
  t.true((await page.pdf({ format: 'A4' })).length > 10_000);
});
