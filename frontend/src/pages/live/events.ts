/** The frames that tell of something that happened. */
export const EVENT_TYPES = ["engagement_update", "interaction_update", "alert"] as const;
