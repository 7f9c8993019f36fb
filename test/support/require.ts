/**
 * Capabilities that a test needs. Missing: the test is skipped and says what is missing; if REQUIRE names the
 * capability (REQUIRE=netns,etcd,docker,uml or REQUIRE=all, as CI sets it) it fails instead.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Context } from 'mocha';

const probes = {
  root: () => process.getuid?.() === 0 || 'root',
  netns: () =>
    spawnSync('unshare', ['-n', 'true']).status === 0 || 'the right to make a network namespace (unshare -n)',
  etcd: () => onPath('etcd') || 'the program etcd (Debian: etcd-server)',
  docker: () => onPath('dockerd') || 'the program dockerd (Debian: docker.io)',
  lab: () => existsSync(labFile('roots/sid/.done')) || 'the lab (test/lab/bin/lab-setup)',
  uml: () =>
    existsSync(labFile('roots/trixie/usr/local/bin/linux.uml')) || 'user-mode Linux (test/lab/bin/uml-setup)',
  clang: () => onPath('clang-14') || onPath('clang') || 'the compiler clang 14 (Debian: clang-14)',
  iperf3: () => onPath('iperf3') || 'the program iperf3',
  rpm: () => onPath('rpmbuild') || 'the program rpmbuild (Debian: rpm)',
  strace: () => onPath('strace') || 'the program strace',
} as const;
export type Capability = keyof typeof probes;

/** Call in `before`: skips the suite, or fails it under REQUIRE, if a capability is missing. */
export function need(context: Context, ...capabilities: readonly Capability[]): void {
  for (const capability of capabilities) {
    const found = probes[capability]();
    if (found === true) continue;
    const required = (process.env['REQUIRE'] ?? '').split(',');
    if (required.includes(capability) || required.includes('all')) throw new Error(`missing: ${found}`);
    console.log(`      skipped, missing: ${found}`);
    context.skip();
  }
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(`${folder}/${program}`));
}

/** A file of the lab's folder; LANIUS_LAB moves it. */
export function labFile(path: string): string {
  return `${process.env['LANIUS_LAB'] ?? '/var/tmp/lanius-lab'}/${path}`;
}
