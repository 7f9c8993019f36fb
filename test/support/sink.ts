/** A program: takes whatever comes by TCP and UDP at the given address and port, and throws it away, until its stdin ends. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';

const [host = '', port = ''] = process.argv.slice(2);
const udp = createSocket('udp4').bind(Number(port), host);
const tcp = createServer((socket) => socket.on('error', () => {}).resume());
tcp.listen(Number(port), host, () => process.stdout.write('listening\n'));
process.stdin.on('end', () => {
  udp.close();
  process.exit(0);
});
process.stdin.resume();
