/** A program for `bridge-adoption.test.ts`: makes or removes what a network stands on, until a failpoint kills it. */
import { ADOPTING, BridgeParts } from './bridge-host.ts';

const [namespacePath = '', stateDir = '', action = ''] = process.argv.slice(2);
const parts = await new BridgeParts(namespacePath, stateDir).load();
if (action === 'prepare') await parts.uplink.prepare(ADOPTING);
else await parts.uplink.settle([]);
await parts.close();
