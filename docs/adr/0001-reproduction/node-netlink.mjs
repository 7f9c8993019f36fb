/**
 * Twenty requests at once over one node-netlink socket: each reads the loopback link. The kernel answers all of them
 * within a millisecond; ends with status 0 if the package loses answers.
 */
import netlink from 'node-netlink';

const RTM_GETLINK = 18n;
const REQUESTS = 20;
const TIMEOUT_MS = 3000;

// struct ifinfomsg with the index of lo, no attributes.
const payload = Buffer.alloc(16);
payload.writeInt32LE(1, 4);

const socket = await netlink.open({ family: 0 });
console.warn = () => {};

async function ask() {
  await socket.talk(
    { header: { nlmsg_type: RTM_GETLINK, nlmsg_flags: netlink.NLM_F_REQUEST | netlink.NLM_F_ACK }, payload },
    { timeout: TIMEOUT_MS },
  );
}

for (let i = 0; i < 3; i++) await ask();
console.log('   one at a time: 3 of 3 answered');

const outcomes = await Promise.allSettled(Array.from({ length: REQUESTS }, ask));
const answered = outcomes.filter(({ status }) => status === 'fulfilled').length;
const reasons = new Set(outcomes.flatMap(({ reason }) => (reason === undefined ? [] : [reason.message])));
console.log(
  `   at once: ${answered} of ${REQUESTS} answered, others after ${TIMEOUT_MS} ms: ${[...reasons].join(', ')}`,
);
process.exit(answered < REQUESTS ? 0 : 1);
