import { PAGE_SIZE_MAX } from '@app/contracts';
import { Type } from 'class-transformer';
import { IsInt, IsOptional, IsString, Max, MaxLength, Min } from 'class-validator';
import { atMost } from './field-rules.js';

/** How much of a list, and from where. */
export class PageQueryDto {
  /**
   * How many at most. Default: 50.
   * @example 50
   */
  @IsOptional()
  @Type(() => Number)
  @IsInt()
  @Min(1)
  @Max(PAGE_SIZE_MAX, atMost(PAGE_SIZE_MAX))
  limit?: number;

  /**
   * The `nextCursor` of the page before, as it is. Leave it out for the first page.
   * @example "eyJ2IjoxLCJhZnRlciI6IjAxOTNjZmE0LTdlMzAtN2Q2Zi05YjZlLTRhNGQ0ZTJiYjFhMiJ9"
   */
  @IsOptional()
  @IsString()
  @MaxLength(1024)
  cursor?: string;
}
