/** A program: attaches the ARP responder as a daemon would, and then stands still until it is killed. */
import { silentLogger } from '../../core/log.ts';
import { KernelWorker } from '../../net/kernel-worker.ts';
import { KernelResponder } from '../../net/responder.ts';
import { NETWORK_ID, PLAN } from './responder-segment.ts';

const [pinFolder = '', namespacePath = '', linkIndex = ''] = process.argv.slice(2);
const responder = new KernelResponder(new KernelWorker({}, { log: silentLogger }), { pinFolder });
await responder.attach(
  { namespacePath, linkIndex: Number(linkIndex) },
  { networkId: NETWORK_ID, plan: PLAN },
);
process.stdout.write('attached\n');
setInterval(() => {}, 1000);
