/**
 * Sends one datagram to a unix socket, which Node cannot do itself: socket(2), sendto(2), close(2) of libc.
 *
 * Must not: wait. A receiver whose queue is full gets nothing, and the caller is told.
 * @see unix(7): `struct sockaddr_un`, abstract names
 */
import koffi from 'koffi';
import { InvalidRequest, KernelError } from '../core/errors.ts';

// linux/socket.h, linux/net.h
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
/** `sun_path` */
const PATH_BYTES = 108;

const libc = koffi.load(null);
const socket = libc.func('int socket(int, int, int)');
const sendto = libc.func('long sendto(int, const void *, size_t, int, const void *, uint)');
const close = libc.func('int close(int)');

/**
 * @param address a path, or `@name` for the abstract name `\0name`
 * @throws KernelError with the errno of the call that failed (ENOENT, ECONNREFUSED: nobody is there)
 */
export function sendUnixDatagram(address: string, payload: string | Buffer): void {
  const sockaddr = sockaddrOf(address);
  const data = typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload;
  const fd = Number(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) throw failure('socket', address);
  try {
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    if (Number(sendto(fd, data, data.length, flags, sockaddr, sockaddr.length)) < 0) {
      throw failure('sendto', address);
    }
  } finally {
    close(fd);
  }
}

/** `u16 family, char path[]`: ended by a zero byte if it is a path, by its length if it is abstract. */
export function sockaddrOf(address: string): Buffer {
  const abstract = address.startsWith('@');
  const name = Buffer.from(abstract ? `\0${address.slice(1)}` : `${address}\0`, 'utf8');
  if (name.length > PATH_BYTES || (!abstract && !address.startsWith('/'))) {
    throw new InvalidRequest(
      `"${address}" is not a unix socket: it must be /path or @name of at most 107 bytes`,
    );
  }
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX); // every CPU that Node supports here is little-endian
  return Buffer.concat([family, name]);
}

function failure(call: string, address: string): KernelError {
  const errno = koffi.errno();
  const name = Object.entries(koffi.os.errno).find(([, number]) => number === errno)?.[0] ?? `errno ${errno}`;
  return new KernelError(`${call} to the socket ${address} failed: ${name}`, { errno, errnoName: name });
}
