/** How an exported file says what it is. Version 1 had one conversation, as in a request. */

export const FORMAT = "llm_service conversations";
export const VERSION = 2;
