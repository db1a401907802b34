// Drives Chromium: visits an address of sidekey's page (or of the authorization
// server), connects, signs in, consents, and prints what the last page says.
import { chromium } from 'playwright-core';

const [address, ...steps] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(30_000);
  await page.goto(address);
  for (const path of steps) {
    await page.goto(new URL(path, address).href);
    await page.getByRole('button', { name: 'Connect' }).click();
  }
  await page.locator('input[name=login]').fill('ada');
  await page.locator('input[name=password]').fill('any');
  await page.locator('button[type=submit]').click();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(/oauth\/callback/);
  console.log(await page.locator('h1').innerText());
} finally {
  await browser.close();
}
