/** The path of the empty handlers. */
export const EMPTY_PATH = "/echo.v1.EchoService/Unary";
