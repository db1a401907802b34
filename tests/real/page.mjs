// Looks at every page of sidekey's as a person would: signs in, presses, and
// holds each page against axe-core in light, dark and on a phone.
//
// node page.mjs ADMIN_URL ADMIN_TOKEN SCREENSHOTS_DIRECTORY
// Prints a line for each finding; exits with 1 where there is one.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { AxeBuilder } from '@axe-core/playwright';
import { launch, looks } from './browser.mjs';

const [admin, token, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });
const findings = [];
const find = (what) => findings.push(what);

async function signIn(page) {
  await page.goto(`${admin}/`);
  await page.getByLabel('Admin token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Connected accounts' }).waitFor();
}

async function hold(page, look, name) {
  const { violations } = await new AxeBuilder({ page })
    .withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'])
    .analyze();
  for (const violation of violations) {
    const where = violation.nodes.map((node) => node.target.join(' ')).slice(0, 3);
    find(`${name} (${look}): ${violation.id}: ${violation.help}: ${where.join(', ')}`);
  }
  const width = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (width > 0) find(`${name} (${look}): ${width} px wider than the screen`);
  await page.screenshot({ path: join(pictures, `${name}-${look}.png`), fullPage: true });
}

// The first of each kind.
async function pagesOf(page) {
  const refused = `${admin}/accounts/erp`;
  const found = { overview: `${admin}/`, new: `${admin}/new`, try: `${admin}/try` };
  const account = `${admin}/accounts/crmDev`;
  Object.assign(found, { account, refused, disconnect: `${account}/disconnect` });
  await page.goto(found.new);
  const choice = page.locator('.choices a').first();
  if (await choice.count()) found.create = await choice.evaluate((a) => a.href);
  found.lost = `${admin}/accounts/nobody`;
  return found;
}

// A person's account from Connect to its first token, and a new one made.
async function press(page, look) {
  await page.goto(`${admin}/connect/crmDev`);
  await hold(page, look, 'connect');
  await page.getByRole('button', { name: 'Connect' }).click();
  await page.getByRole('heading', { name: 'crmDev is connected' }).waitFor();
  await hold(page, look, 'connected');
  await page.goto(`${admin}/accounts/crmDev`);
  await page.getByText('Live', { exact: true }).waitFor();
  const row = page.locator('#account-crmDev');
  await row.getByText('new token').waitFor();
  await page.goto(`${admin}/new/crm`);
  await page.getByLabel('Account key').fill('crmQa');
  await page.getByLabel('Server').selectOption('qa');
  await page.getByRole('button', { name: 'Create and connect' }).click();
  await page.getByRole('heading', { name: 'Connect crmQa' }).waitFor();
  await page.goto(`${admin}/accounts/crmQa/disconnect`);
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('heading', { name: 'crmQa is removed' }).waitFor();
}

async function look(browser, name) {
  const context = await browser.newContext(looks[name]);
  const page = await context.newPage();
  page.on('console', (line) => {
    const expected = line.location().url.includes('/accounts/nobody') || line.text().includes('401');
    if (line.type() === 'error' && !expected) find(`${page.url()} (${name}): ${line.text()}`);
  });
  page.on('pageerror', (error) => find(`${page.url()} (${name}): ${error}`));
  await page.goto(`${admin}/`);
  await hold(page, name, 'sign-in');
  await signIn(page);
  const cookies = await context.cookies();
  const bytes = cookies.reduce((sum, { name, value }) => sum + name.length + value.length + 3, 0);
  if (cookies.length === 0 || bytes > 256) find(`${cookies.length} cookies of ${bytes} bytes`);
  if (name === 'light') await press(page, name);
  for (const [title, address] of Object.entries(await pagesOf(page))) {
    await page.goto(address);
    if (title === 'overview') await page.getByText('Live', { exact: true }).waitFor();
    await hold(page, name, title);
  }
  await page.goto(`${admin}/try`);
  await page.getByRole('button', { name: 'Send' }).click();
  await page.locator('.result').waitFor();
  await hold(page, name, 'tried');
  await context.close();
}

const browser = await launch();
try {
  for (const name of Object.keys(looks)) await look(browser, name);
} finally {
  await browser.close();
}
for (const finding of findings) console.log(finding);
process.exit(findings.length ? 1 : 0);
