import { PreviewRetryPolicyDto, type RetryPolicyDto, type RetryPolicyPreviewDto } from '@app/dto';
import { completeRetryPolicy, previewTries, type PreviewedTry } from '@app/domain';
import { checkRetryPolicy } from '@app/endpoints';
import { Body, Controller, HttpCode, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ApiProblems, ChangesNothing } from '../edge/api-problems.decorator.js';
import { OpenToCustomers } from '../edge/open-to-customers.decorator.js';
import { RequireScope } from '../edge/require-scope.decorator.js';

@ApiTags('Endpoints')
@Controller('v1/retry-policies')
export class RetryPoliciesController {
  /** Show the tries that a retry policy gives. When each is due, at the earliest and the latest; nothing is stored. */
  @Post('preview')
  @HttpCode(200)
  @RequireScope('endpoints:read')
  @OpenToCustomers()
  @ApiProblems('invalid_retry_policy')
  @ChangesNothing()
  preview(@Body() body: PreviewRetryPolicyDto): RetryPolicyPreviewDto {
    // The DTO has every field, those that were not sent as undefined.
    const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined));
    const policy = completeRetryPolicy(checkRetryPolicy(given, ''));
    const tries = previewTries(policy).map(shown);
    return {
      policy: policy as RetryPolicyDto,
      tries,
      lastTryAfterSeconds: tries.at(-1)!.afterSeconds,
    };
  }
}

function shown({ n, earliestSeconds, nominalSeconds, latestSeconds }: PreviewedTry) {
  return {
    n,
    afterSeconds: {
      earliest: rounded(earliestSeconds),
      nominal: rounded(nominalSeconds),
      latest: rounded(latestSeconds),
    },
  };
}

/** To the millisecond: sums of fractions are long otherwise. */
function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
