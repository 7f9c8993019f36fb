import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { parseRate } from '../../../core/rate.ts';
import { checkoutFolder } from '../../support/checkout.ts';
import { dockerRun, readApp } from '../../support/mesos-docker-run.ts';

const TASK = { containerId: '5f1b0e6a-7d0c-4a0e-9a44-4f4f4f4f4f4f', host: 'h1' };
const EXAMPLES = readdirSync(join(checkoutFolder, 'examples/marathon')).map((file) =>
  file.replace('.json', ''),
);

describe('test/support/mesos-docker-run', () => {
  it("builds the executor's command line for an app", () => {
    const argv = dockerRun(readApp('limits'), TASK, '1.11.0');
    const task = 'shop_images.instance-6f1c9a52-0c1f-11f1-8b3e-000000000001._app.1';
    const env = {
      HOST: 'h1',
      MARATHON_APP_DOCKER_IMAGE: 'busybox:1.37',
      MARATHON_APP_ENFORCE_GROUP_ROLE: 'FALSE',
      MARATHON_APP_ID: '/shop/images',
      MARATHON_APP_LABELS: 'TEAM',
      MARATHON_APP_LABEL_TEAM: 'images',
      MARATHON_APP_RESOURCE_CPUS: '0.1',
      MARATHON_APP_RESOURCE_DISK: '0.0',
      MARATHON_APP_RESOURCE_GPUS: '0',
      MARATHON_APP_RESOURCE_MEM: '64.0',
      MARATHON_APP_VERSION: '2026-11-30T00:00:00.000Z',
      MESOS_ALLOCATION_ROLE: '*',
      MESOS_CONTAINER_NAME: `mesos-${TASK.containerId}`,
      MESOS_SANDBOX: '/mnt/mesos/sandbox',
      MESOS_TASK_ID: task,
      PORT0: '8080',
      PORTS: '',
      PORT_8080: '8080',
      PORT_HTTP: '8080',
      net_in: '100mbit',
      net_out: '50mbit',
    };
    expect(argv).to.deep.equal([
      ...[
        'docker',
        '-H',
        'unix:///var/run/docker.sock',
        'run',
        '--cpu-shares',
        '102',
        '--memory',
        '67108864',
      ],
      ...Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`]),
      '-v',
      `/var/lib/mesos/slaves/a7f0d2c4-0000-S1/frameworks/a7f0d2c4-0001/executors/${task}/runs/${TASK.containerId}:/mnt/mesos/sandbox`,
      ...['--net', 'flat', '--entrypoint', '/bin/sh', '--name', `mesos-${TASK.containerId}`],
      ...['--label=com.example.team=images', `--label=MESOS_TASK_ID=${task}`],
      ...['busybox:1.37', '-c', 'exec httpd -f -p 8080'],
    ]);
  });

  it('puts a parameter `net` behind the network up to Mesos 1.11, and in its place later', () => {
    const app = readApp('net-parameter');
    const before = dockerRun(app, TASK, '1.11.0').join(' ');
    expect(before).to.contain(' --net host ').and.to.contain(' --net=flat --label=com.example.team=legacy ');
    const later = dockerRun(app, TASK, 'later').join(' ');
    expect(later).to.contain(' --net flat ').and.to.not.contain('--net=flat');
  });
});

describe('examples/marathon', () => {
  it('can all be read, have rates that are rates, and back off fast', () => {
    expect(EXAMPLES).to.have.members(['plain', 'fixed-address', 'limits', 'vlan', 'net-parameter']);
    for (const name of EXAMPLES) {
      const app = readApp(name);
      for (const key of ['net_in', 'net_out'])
        expect(() => parseRate(app.env?.[key] ?? 'none'), name).to.not.throw();
      expect(app, name).to.include({ backoffSeconds: 5, backoffFactor: 2, maxLaunchDelaySeconds: 300 });
      expect(app.constraints?.[0]?.[0], name).to.match(/^lanius_(flat|vlan100)$/);
    }
  });

  it('never run twice at once where they have an address of their own', () => {
    const app = readApp('fixed-address');
    expect(app.instances).to.equal(1);
    expect(app).to.deep.include({ upgradeStrategy: { minimumHealthCapacity: 0, maximumOverCapacity: 0 } });
  });
});
