/** What is not a class but injected: `@Inject(CONFIG) config: Config` and so on. Provided by ApiModule.forRoot. */
export const CONFIG = Symbol('Config');
export const LOGGER = Symbol('Logger');
export const CLOCK = Symbol('Clock');
export const RANDOM = Symbol('Random');
/** UrlPolicy: which URLs endpoints may have. */
export const URL_POLICY = Symbol('UrlPolicy');
