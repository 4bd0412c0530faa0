// The campaigns that watch the service from outside, against services and disks that lie about their
// flushes: each must be found out, or the campaign proves nothing.
import { CampaignFailure } from '../campaigns/campaign.js';
import { killCampaign } from '../campaigns/kill.js';
import { orderCampaign } from '../campaigns/order.js';
import { powerCampaign } from '../campaigns/power.js';
import { whereFuseWorks, whereToolsBuild } from './disks.js';
import { toolsMissing } from '../campaigns/tools.js';
import { whereStraceWorks } from './traced-database.js';

const say = (): void => undefined;

const hooked = whereToolsBuild('lies.test.ts');
const traced = toolsMissing() === undefined ? whereStraceWorks('lies.test.ts') : hooked;
const mounted = whereFuseWorks('lies.test.ts');

hooked('the kills find a database whose writes get lost', async (t) => {
  const failure = await t.throwsAsync(killCampaign({ seed: 1, kills: 20, say, lie: true }), {
    instanceOf: CampaignFailure,
  });
  t.log(failure.message.split('\n').slice(0, 3).join('\n'));
});

traced('the order audit finds a database that leaves out flushes', async (t) => {
  const failure = await t.throwsAsync(orderCampaign({ seed: 1, seconds: 0, say, lie: true }), {
    instanceOf: CampaignFailure,
  });
  t.regex(failure.message, /left before a flush that began after its write had returned/);
});

for (const lie of ['service', 'device'] as const) {
  mounted(`the power cut finds a ${lie} that leaves out flushes`, async (t) => {
    const options = { seed: 1, cuts: 20, fileSystem: 'ext4', say, lie, lifeMs: 300 } as const;
    const failure = await t.throwsAsync(powerCampaign(options), { instanceOf: CampaignFailure });
    t.log(failure.message.split('\n').slice(0, 3).join('\n'));
    t.regex(failure.message, /^power cut before entry/);
  });
}

mounted(
  'every acknowledged transaction has a flush that reached the disk under a loop device',
  async (t) => {
    const summary = await powerCampaign({ seed: 2, cuts: 1, fileSystem: 'ext4', say, lifeMs: 300 });
    t.true(summary.acknowledged > 0);
    t.is(summary.flushesSeen, summary.acknowledged);
  },
);
