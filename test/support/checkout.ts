/**
 * Where the running tests lie: the compiled folder they were started from, the checkout around it, the lab's scripts.
 *
 * A test never uses a fixed path: compiled to .build/NAME it tests the program in .build/NAME.
 */
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { labFile } from './require.ts';

/** Folder of the compiled program and tests, absolute (dist, or another --outDir). */
export const distFolder = resolve(import.meta.dirname, '../..');

/** Root of the checkout, absolute. */
export const checkoutFolder = findCheckout(distFolder);

/** A script of the lab, absolute. */
export function labScript(name: string): string {
  return `${checkoutFolder}/test/lab/bin/${name}`;
}

/** Beginning of the names of this lab's namespaces; LANIUS_LAB_PREFIX changes it. */
export function labPrefix(): string {
  return process.env['LANIUS_LAB_PREFIX'] ?? 'lnl-';
}

/** A file under the folder of machine disks; LANIUS_LAB_DISKS moves it away from the lab's folder. */
export function diskFile(path: string): string {
  const disks = process.env['LANIUS_LAB_DISKS'];
  return disks === undefined ? labFile(path) : `${disks}/${path}`;
}

function findCheckout(start: string): string {
  for (let folder = start; folder !== '/'; folder = dirname(folder)) {
    if (existsSync(`${folder}/package.json`)) return folder;
  }
  throw new Error(`no package.json above ${start}: tests run compiled, inside the checkout`);
}
