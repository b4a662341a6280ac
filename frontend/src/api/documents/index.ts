/** Every operation of the page. */

export * from "./changes";
export * from "./details";
export * from "./flows";
export * from "./lists";
export * from "./row";
