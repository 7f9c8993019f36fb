/** A program for the tests of shaping: sends UDP as fast as it can, with SO_PRIORITY, until it is killed. */
import { sendto, setsockopt, socket } from '../../net/rtnetlink/libc.ts';
import { AF_INET, SOL_SOCKET } from '../../net/rtnetlink/uapi.ts';

const SOCK_DGRAM = 2;
const SO_PRIORITY = 12;
const DISCARD = 9;

const [address = '', priority = '0'] = process.argv.slice(2);
const fd = socket(AF_INET, SOCK_DGRAM, 0);
const value = Buffer.alloc(4);
value.writeUInt32LE(Number(priority));
setsockopt(fd, SOL_SOCKET, SO_PRIORITY, value);

/** struct sockaddr_in: family, port and address big-endian. */
const to = Buffer.alloc(16);
to.writeUInt16LE(AF_INET, 0);
to.writeUInt16BE(DISCARD, 2);
Buffer.from(address.split('.').map(Number)).copy(to, 4);
const datagram = Buffer.alloc(1400, 'x');
process.stdout.write('sending\n');
for (;;) sendto(fd, datagram, to, 'send');
