/** A program for `links.test.ts`: makes macvlan links without end, until it is killed. */
import { silentLogger } from '../../core/log.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelLinks } from '../../net/links.ts';

const [namespacePath = '', round = '0'] = process.argv.slice(2);
const links = new KernelLinks(new KernelWorker({ namespacePath }, { log: silentLogger }));

for (let i = 0; ; i++) {
  const digits = i.toString(16).padStart(4, '0');
  await links.macvlanAdd({
    name: `ln${round}-${digits}`,
    parent: 'up0',
    mode: 'bridge',
    macAddress: `02:4c:0a:0${round}:${digits.slice(0, 2)}:${digits.slice(2)}`,
    alias: `lanius:${round}-${digits}`,
  });
  if (i === 0) process.stdout.write('started\n');
}
