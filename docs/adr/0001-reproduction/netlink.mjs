/**
 * A netlink event socket with an 'error' listener, and more link events than its buffer holds while the event loop is
 * busy. The kernel then answers ENOBUFS, which a program must survive (it reads the table again). Runs itself as a
 * child and says how that ended.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const EVENTS = 2000;

if (process.argv[2] === 'child') {
  const { default: netlink } = await import('netlink');
  const socket = netlink.createRtNetlink({ ref: true });
  socket.addMembership('LINK');
  let received = 0;
  socket.on('message', (messages) => {
    received += messages.length;
  });
  socket.socket.on('error', (error) => {
    console.log(`error event: ${error.code ?? error.message}`);
  });
  process.on('uncaughtException', (error) => {
    console.log(`uncaughtException: ${error.message}`);
  });
  execFileSync('ip', ['-batch', '-'], {
    input: 'link set lo up\nlink set lo down\n'.repeat(EVENTS / 2),
  });
  await delay(500);
  console.log(`survived: ${received} events of ${EVENTS}`);
  process.exit(0);
}

const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), 'child'], { encoding: 'utf8' });
process.stdout.write(child.stdout);
process.stdout.write(child.stderr.split('\n').slice(0, 3).join('\n').trimEnd());
console.log(`\nexit: ${child.signal ?? child.status}`);
