/** docs/failpoints.md, written from the notes beside the names in core/failpoint.ts. */
import { FAILPOINT_NAMES, FAILPOINTS } from '../core/failpoint.ts';

export function failpointsDoc(): string {
  const rows = FAILPOINT_NAMES.map((name) => {
    const { passedBy, done, notDone, outcome } = FAILPOINTS[name];
    return `| \`${name}\` | ${passed(passedBy)} | ${done} | ${notDone} | ${outcome} |`;
  });
  return `${HEAD}${rows.join('\n')}\n${FOOT}`;
}

/** The command is code, what follows a comma is not. */
function passed(by: string): string {
  return by.replace(/^[^,]+/, (command) => `\`${command}\``);
}

const HEAD = `<!-- Written by \`npm run docs\` from core/failpoint.ts: change that, not this file. -->
# Failpoints

A failpoint is a named place between two effects outside of the daemon: a transaction in etcd, a file on disk, a link
in the kernel. With \`LANIUS_FAILPOINT=NAME=kill\` in its environment the daemon writes \`failpoint NAME: killed\` to
stderr and ends by SIGKILL the first time it passes there; \`NAME@3=kill\` is the third time. Several are separated by
commas. Without the variable a failpoint does nothing. The list is \`FAILPOINTS\` in [\`core/failpoint.ts\`](../core/failpoint.ts).

\`test/e2e/failpoints.test.ts\` crashes the daemon at every one of them, on the engines 20.10, 26.1 and 28.5 in turn; a
name without a scenario there does not compile. It demands that the daemon was killed there, and after its return:
within 10 s leases = endpoints = running containers and no link lies about; containers that run keep address, lease and
traffic (a ping every 10 ms loses nothing); a new \`docker run\` works; and when everything is removed, nothing is left
in etcd.

| Failpoint | Passed by | What has happened | What has not | What comes of it |
|---|---|---|---|---|
`;

const FOOT = `
Why a command fails although the daemon is back at once: the engine repeats a call whose connection broke, but without
its parameters (moby/moby#39331). Such a call is refused, and the message says to start the container again. A call
that could not be sent at all is repeated whole, after 1, 2, 4 and 8 s: a daemon that is away for less than that is not
noticed.

How long until all is exact: reconciliation frees what two looks, 3 s apart, call unused. A call that was cut off is
refused when the engine repeats it, and only then does the engine forget what it meant to release. After a crash
of less than a second that is one second after the return. It is up to 8 s after the return if the daemon was away for
7 to 15 s; then what a removal left behind is freed up to about 4 s after the engine has ended that removal.
`;
