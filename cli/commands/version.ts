/** `lanius version`: of this command and of the daemon, which differ between an update and the restart. */
import { packageVersion } from '../../core/version.ts';
import { ADMIN_PATHS, type VersionInfo } from '../../plugin/wire/admin.ts';
import { DaemonUnreachable } from '../admin-client.ts';
import type { Command } from '../command.ts';

export const version: Command = {
  words: ['version'],
  summary: 'Print the versions of this command and of the daemon',
  positionals: [],
  options: {},
  run: async (_input, { client, output }) => {
    const command = packageVersion();
    const daemon = await client.get<VersionInfo>(ADMIN_PATHS.version).catch((error: unknown) => {
      if (error instanceof DaemonUnreachable) return undefined;
      throw error;
    });
    output.value({ command, daemon: daemon ?? null }, () => {
      const running =
        daemon === undefined
          ? 'does not answer'
          : `${daemon.version} (host ${daemon.host}, Node ${daemon.node})`;
      return `command: ${command}\ndaemon: ${running}`;
    });
    return 0;
  },
};
