import { Problem } from '@app/contracts';
import { Controller, Get, Header } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ApiProblems } from '../edge/api-problems.decorator.js';
import { AliveDto, ReadyDto } from './health.dto.js';
import { Readiness } from './readiness.js';

@ApiTags('Operations')
@Controller('health')
export class HealthController {
  constructor(private readonly readiness: Readiness) {}

  /** Whether this process runs. Restart it when it does not answer. */
  @Get('live')
  @Header('cache-control', 'no-store')
  live(): AliveDto {
    return { status: 'up' };
  }

  /** Whether this process can serve. Send it requests only while it answers 200. */
  @Get('ready')
  @Header('cache-control', 'no-store')
  @ApiProblems('unavailable')
  async ready(): Promise<ReadyDto> {
    const checks = await this.readiness.check();
    const down = Object.entries(checks).flatMap(([name, state]) => (state === 'up' ? [] : [name]));
    if (down.length > 0)
      throw new Problem('unavailable', `Not ready: ${down.join(', ')}.`, { retryAfterSeconds: 5 });
    return { status: 'up', checks };
  }
}
