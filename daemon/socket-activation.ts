/**
 * Listening sockets that systemd made before the daemon started, so that no call of the engine is refused while
 * the daemon starts anew.
 *
 * @see sd_listen_fds(3); systemd/lanius.socket
 */

export interface ActivatedSockets {
  /** File descriptor of the plugin's socket. */
  readonly plugin?: number;
  /** File descriptor of the socket that the socket unit names `admin` (FileDescriptorName=admin). */
  readonly admin?: number;
}

/** SD_LISTEN_FDS_START */
const FIRST_FD = 3;

/**
 * The first socket that is not named `admin` is the plugin's.
 * @param env usually process.env; LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are deleted from it
 * @returns nothing if the sockets were meant for another process
 */
export function takeActivatedSockets(env: NodeJS.ProcessEnv, pid: number): ActivatedSockets {
  const forUs = env['LISTEN_PID'] === String(pid);
  const count = forUs ? Number(env['LISTEN_FDS'] ?? 0) : 0;
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':');
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  const indexes = Array.from(
    { length: Number.isInteger(count) && count > 0 ? count : 0 },
    (_, index) => index,
  );
  const plugin = indexes.find((index) => names[index] !== 'admin');
  const admin = indexes.find((index) => names[index] === 'admin');
  return {
    ...(plugin === undefined ? {} : { plugin: FIRST_FD + plugin }),
    ...(admin === undefined ? {} : { admin: FIRST_FD + admin }),
  };
}
